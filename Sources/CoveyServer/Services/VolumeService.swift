package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
package import GRPCCore

/// `covey.v1.Volumes`.
package struct VolumeService: Covey_V1_Volumes.SimpleServiceProtocol {
    private let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func create(
        request: Covey_V1_CreateVolumeRequest, context call: ServerContext
    ) async throws -> Covey_V1_VolumeMutation {
        try Names.checkLabel(request.name, kind: "volume")
        try context.validation.check(labels: request.labels)
        let size = try context.validation.volumeSize(ByteCount(request.sizeBytes))
        let made = try await context.repositories.volumes.create(
            try Tenant(named: request.tenant), name: request.name, labels: request.labels,
            spec: VolumeSpec(size: size, format: try VolumeFormat.optional(request.format, "format") ?? .ext4),
            node: context.settings.node, requestID: context.requestID(request.requestID))
        return mutation(made.volume, made.operation)
    }

    package func get(
        request: Covey_V1_GetVolumeRequest, context call: ServerContext
    ) async throws -> Covey_V1_Volume {
        Covey_V1_Volume(try await volume(request.tenant, request.name))
    }

    package func list(
        request: Covey_V1_ListVolumesRequest, context call: ServerContext
    ) async throws -> Covey_V1_ListVolumesResponse {
        let listing = try await context.repositories.volumes.list(try Tenant(named: request.tenant))
        let page = try Page(listing.items, size: request.pageSize, token: request.pageToken) { $0.metadata.name }
        var response = Covey_V1_ListVolumesResponse()
        response.items = page.items.map { Covey_V1_Volume($0) }
        response.nextPageToken = page.next
        return response
    }

    package func delete(
        request: Covey_V1_DeleteVolumeRequest, context call: ServerContext
    ) async throws -> Covey_V1_VolumeMutation {
        let volume = try await volume(request.tenant, request.name)
        let copies = try await context.repositories.volumes.list().items.filter { copy in
            copy.spec.source == volume.metadata.id && [.pending, .building].contains(copy.status.state)
        }
        if let copy = copies.first {
            throw CoveyError(
                .conflict, "volume \(volume.metadata.name) is being copied to \(copy.metadata.name)",
                remedy: "wait until that is ready", resource: ResourceReference("volume", volume.metadata.name))
        }
        let changed = try await context.repositories.volumes.requestRemoval(
            volume.metadata.id, node: context.settings.node, requestID: context.requestID(request.requestID))
        return mutation(changed.volume, changed.operation)
    }

    package func resize(
        request: Covey_V1_ResizeVolumeRequest, context call: ServerContext
    ) async throws -> Covey_V1_VolumeMutation {
        let volume = try await volume(request.tenant, request.name)
        let size = try context.validation.volumeSize(ByteCount(request.sizeBytes))
        let changed = try await context.repositories.volumes.requestGrowth(
            volume.metadata.id, to: size, node: context.settings.node,
            requestID: context.requestID(request.requestID))
        return mutation(changed.volume, changed.operation)
    }

    package func snapshot(
        request: Covey_V1_SnapshotVolumeRequest, context call: ServerContext
    ) async throws -> Covey_V1_VolumeMutation {
        try Names.checkLabel(request.snapshot, kind: "volume")
        try context.validation.check(labels: request.labels)
        let source = try await volume(request.tenant, request.name)
        let name = source.metadata.name
        guard !source.spec.deleting, source.status.state == .ready else {
            throw CoveyError(
                .conflict, "volume \(name) is \(source.spec.deleting ? "being deleted" : source.status.state.rawValue)",
                resource: ResourceReference("volume", name))
        }
        let made = try await context.repositories.volumes.create(
            try Tenant(named: request.tenant), name: request.snapshot, labels: request.labels,
            spec: VolumeSpec(size: source.spec.size, format: source.spec.format, source: source.metadata.id),
            node: source.status.node ?? context.settings.node, requestID: context.requestID(request.requestID))
        return mutation(made.volume, made.operation)
    }

    package func attach(
        request: Covey_V1_AttachVolumeRequest, context call: ServerContext
    ) async throws -> Covey_V1_VolumeAttachmentResponse {
        let volume = try await volume(request.tenant, request.name)
        let machine = try await machine(request.tenant, request.machine)
        try context.validation.check(path: request.path, of: volume)
        let mount = VolumeMount(
            volume: volume.metadata.name, path: MachineValidation.plain(request.path), readOnly: request.readOnly)
        return answer(
            try await context.repositories.volumes.attach(volume.metadata.id, to: machine.metadata.id, as: mount))
    }

    package func detach(
        request: Covey_V1_DetachVolumeRequest, context call: ServerContext
    ) async throws -> Covey_V1_VolumeAttachmentResponse {
        let volume = try await volume(request.tenant, request.name)
        let machine = try await machine(request.tenant, request.machine)
        return answer(
            try await context.repositories.volumes.detach(
                volume.metadata.id, from: machine.metadata.id, requestID: context.requestID(request.requestID)))
    }

    private func volume(_ tenant: String, _ name: String) async throws -> Volume {
        try await context.repositories.volumes.named(name, try Tenant(named: tenant))
    }

    private func machine(_ tenant: String, _ name: String) async throws -> VirtualMachine {
        guard !name.isEmpty else { throw CoveyError(.invalid, "the request names no vm") }
        return try await context.repositories.machines.get(try Tenant(named: tenant), name)
    }

    private func mutation(_ volume: Volume, _ operation: Operation) -> Covey_V1_VolumeMutation {
        var answer = Covey_V1_VolumeMutation()
        answer.volume = Covey_V1_Volume(volume)
        answer.operation = Covey_V1_Operation(operation)
        return answer
    }

    private func answer(_ both: (volume: Volume, machine: VirtualMachine)) -> Covey_V1_VolumeAttachmentResponse {
        var answer = Covey_V1_VolumeAttachmentResponse()
        answer.volume = Covey_V1_Volume(both.volume)
        answer.virtualMachine = Covey_V1_VirtualMachine(both.machine)
        return answer
    }
}
