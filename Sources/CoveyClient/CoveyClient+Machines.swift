package import CoveyAPI
package import CoveyModel
internal import GRPCCore
internal import SwiftProtobuf

/// What a watch of machines says.
package enum MachineEvent: Sendable {
    /// Made or changed.
    case changed(VirtualMachine)
    /// Gone for good.
    case deleted(MachineID, name: String)
    /// All that there was has been sent.
    case synced
}

/// What a mutation answers.
package struct Mutation<Subject: Sendable>: Sendable {
    /// The target as it is wanted now.
    package var subject: Subject
    /// The operation that does it; nil where it is done already.
    package var operation: Operation?
}

extension CoveyClient {
    /// Asks for a machine.
    package func createMachine(
        _ request: MachineRequest, requestID: String = requestID()
    ) async throws -> Mutation<VirtualMachine> {
        let message = Covey_V1_CreateVirtualMachineRequest(request, tenant: tenant, requestID: requestID)
        return try await mutate { try await machines.create(message, options: options) }
    }

    /// A machine by name or id.
    package func machine(_ name: String) async throws -> VirtualMachine {
        var message = Covey_V1_GetVirtualMachineRequest()
        message.tenant = tenant
        message.name = name
        let request = message
        return try await repeatable { try VirtualMachine(try await machines.get(request, options: options)) }
    }

    /// All machines with the labels, by name.
    package func listMachines(labels: [String: String] = [:]) async throws -> [VirtualMachine] {
        try await pages { token in
            var message = Covey_V1_ListVirtualMachinesRequest()
            message.tenant = tenant
            message.labels = labels
            message.pageToken = token
            let answer = try await machines.list(message, options: options)
            return (
                try answer.items.converted { item throws(CoveyError) in try VirtualMachine(item) },
                answer.nextPageToken
            )
        }
    }

    /// Tells `body` of the machines (or the one named) that there are, ``MachineEvent/synced``, and each change, until
    /// it answers a result.
    package func watchMachines<Result: Sendable>(
        _ name: String? = nil, _ body: @escaping @Sendable (MachineEvent) async throws -> Result?
    ) async throws -> Result {
        var message = Covey_V1_WatchVirtualMachinesRequest()
        message.tenant = tenant
        if let name { message.name = name }
        let request = message
        let result = try await once {
            try await machines.watch(request, options: streamOptions) { response -> Result? in
                for try await event in response.messages {
                    let told: MachineEvent
                    switch event.event {
                    case .changed(let machine): told = .changed(try VirtualMachine(machine))
                    case .deleted(let gone):
                        told = .deleted(try MachineID(wire: event.id, "id"), name: gone.name)
                    case .synced: told = .synced
                    case nil: continue
                    }
                    if let result = try await body(told) { return result }
                }
                return nil
            }
        }
        guard let result else { throw CoveyError(.unavailable, "the daemon ended the watch") }
        return result
    }

    /// Asks for it to run.
    package func startMachine(
        _ name: String, requestID: String = requestID()
    ) async throws -> Mutation<VirtualMachine> {
        var message = Covey_V1_StartVirtualMachineRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        let request = message
        return try await mutate { try await machines.start(request, options: options) }
    }

    /// Asks for it to stop; `force` does not ask the guest.
    package func stopMachine(
        _ name: String, timeout: Duration? = nil, force: Bool = false, requestID: String = requestID()
    ) async throws -> Mutation<VirtualMachine> {
        var message = Covey_V1_StopVirtualMachineRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        if let timeout { message.timeout = Google_Protobuf_Duration(milliseconds: timeout.wholeMilliseconds) }
        message.force = force
        let request = message
        return try await mutate { try await machines.stop(request, options: options) }
    }

    /// Ends its VMM, or sends a signal to its program.
    package func killMachine(
        _ name: String, signal: Int32? = nil, requestID: String = requestID()
    ) async throws -> Mutation<VirtualMachine> {
        var message = Covey_V1_KillVirtualMachineRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        if let signal { message.signal = signal }
        let request = message
        return try await mutate { try await machines.kill(request, options: options) }
    }

    /// Asks for a new run.
    package func restartMachine(
        _ name: String, requestID: String = requestID()
    ) async throws -> Mutation<VirtualMachine> {
        var message = Covey_V1_RestartVirtualMachineRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        let request = message
        return try await mutate { try await machines.restart(request, options: options) }
    }

    /// Gives it another name.
    package func renameMachine(
        _ name: String, to newName: String, requestID: String = requestID()
    ) async throws -> VirtualMachine {
        var message = Covey_V1_RenameVirtualMachineRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        message.newName = newName
        let request = message
        return try await mutate { try await machines.rename(request, options: options) }.subject
    }

    /// Asks for it to be deleted; `force` also while it runs.
    package func deleteMachine(
        _ name: String, force: Bool = false, requestID: String = requestID()
    ) async throws -> Mutation<VirtualMachine> {
        var message = Covey_V1_DeleteVirtualMachineRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.name = name
        message.force = force
        let request = message
        return try await mutate { try await machines.delete(request, options: options) }
    }

    /// All pages of a list.
    func pages<Item: Sendable>(
        _ page: @Sendable (String) async throws -> ([Item], String)
    ) async throws -> [Item] {
        var items: [Item] = []
        var token = ""
        repeat {
            let now = token
            let (more, next) = try await repeatable { try await page(now) }
            items += more
            token = next
        } while !token.isEmpty
        return items
    }

    private func mutate(
        _ call: @Sendable () async throws -> Covey_V1_VirtualMachineMutation
    ) async throws -> Mutation<VirtualMachine> {
        try await repeatable {
            let answer = try await call()
            return Mutation(
                subject: try VirtualMachine(answer.virtualMachine),
                operation: answer.hasOperation ? try Operation(answer.operation) : nil)
        }
    }
}
