internal import CoveyAPI
package import CoveyModel

extension CoveyClient {
    /// Asks for a volume.
    package func createVolume(
        _ name: String, size: ByteCount, format: VolumeFormat = .ext4, labels: [String: String] = [:],
        requestID: String = requestID()
    ) async throws -> Mutation<Volume> {
        var message = Covey_V1_CreateVolumeRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        message.labels = labels
        message.sizeBytes = size.bytes
        message.format = format.wire
        let request = message
        return try await repeatable { try mutation(try await volumes.create(request, options: options)) }
    }

    /// A volume by name or id.
    package func volume(_ name: String) async throws -> Volume {
        var message = Covey_V1_GetVolumeRequest()
        message.tenant = tenant
        message.name = name
        let request = message
        return try await repeatable { try Volume(try await volumes.get(request, options: options)) }
    }

    /// All volumes, by name.
    package func listVolumes() async throws -> [Volume] {
        try await pages { token in
            var message = Covey_V1_ListVolumesRequest()
            message.tenant = tenant
            message.pageToken = token
            let answer = try await volumes.list(message, options: options)
            return (
                try answer.items.converted { item throws(CoveyError) in try Volume(item) }, answer.nextPageToken
            )
        }
    }

    /// Asks for a volume to be deleted.
    package func deleteVolume(_ name: String, requestID: String = requestID()) async throws -> Mutation<Volume> {
        var message = Covey_V1_DeleteVolumeRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        let request = message
        return try await repeatable { try mutation(try await volumes.delete(request, options: options)) }
    }

    /// Asks for a volume to grow.
    package func resizeVolume(
        _ name: String, to size: ByteCount, requestID: String = requestID()
    ) async throws -> Mutation<Volume> {
        var message = Covey_V1_ResizeVolumeRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        message.sizeBytes = size.bytes
        let request = message
        return try await repeatable { try mutation(try await volumes.resize(request, options: options)) }
    }

    /// Asks for a copy of a volume as a new one.
    package func snapshotVolume(
        _ name: String, as snapshot: String, requestID: String = requestID()
    ) async throws -> Mutation<Volume> {
        var message = Covey_V1_SnapshotVolumeRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        message.snapshot = snapshot
        let request = message
        return try await repeatable { try mutation(try await volumes.snapshot(request, options: options)) }
    }

    /// Gives a volume to a machine.
    package func attachVolume(
        _ name: String, to machine: String, at path: String, readOnly: Bool, requestID: String = requestID()
    ) async throws -> (volume: Volume, machine: VirtualMachine) {
        var message = Covey_V1_AttachVolumeRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        message.machine = machine
        message.path = path
        message.readOnly = readOnly
        let request = message
        return try await repeatable {
            let answer = try await volumes.attach(request, options: options)
            return (try Volume(answer.volume), try VirtualMachine(answer.virtualMachine))
        }
    }

    /// Takes a volume from a machine.
    package func detachVolume(
        _ name: String, from machine: String, requestID: String = requestID()
    ) async throws -> (volume: Volume, machine: VirtualMachine) {
        var message = Covey_V1_DetachVolumeRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        message.machine = machine
        let request = message
        return try await repeatable {
            let answer = try await volumes.detach(request, options: options)
            return (try Volume(answer.volume), try VirtualMachine(answer.virtualMachine))
        }
    }

    private func mutation(_ answer: Covey_V1_VolumeMutation) throws -> Mutation<Volume> {
        Mutation(subject: try Volume(answer.volume), operation: try Operation(answer.operation))
    }
}
