package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
package import GRPCCore

/// `covey.v1.VirtualMachines`: writes what is wanted of machines and reads what was seen.
package struct VirtualMachineService: Covey_V1_VirtualMachines.SimpleServiceProtocol {
    let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func create(
        request: Covey_V1_CreateVirtualMachineRequest, context call: ServerContext
    ) async throws -> Covey_V1_VirtualMachineMutation {
        let tenant = try Tenant(named: request.tenant)
        let requestID = context.requestID(request.requestID)
        let wish = try MachineRequest(request)
        let spec = try await MachineResolution(context).resolve(wish, tenant: tenant, requestID: requestID)
        let name = try wish.name ?? MachineResolution.name(image: wish.image, requestID: requestID)
        let made = try await context.repositories.machines.create(
            tenant, name: name, labels: wish.labels, spec: spec, node: context.settings.node, requestID: requestID)
        return mutation(made.machine, made.operation)
    }

    package func get(
        request: Covey_V1_GetVirtualMachineRequest, context call: ServerContext
    ) async throws -> Covey_V1_VirtualMachine {
        Covey_V1_VirtualMachine(try await machine(request.tenant, request.name))
    }

    package func list(
        request: Covey_V1_ListVirtualMachinesRequest, context call: ServerContext
    ) async throws -> Covey_V1_ListVirtualMachinesResponse {
        let listing = try await context.repositories.machines.list(
            try Tenant(named: request.tenant), labels: request.labels)
        let page = try Page(listing.items, size: request.pageSize, token: request.pageToken) { $0.metadata.name }
        var response = Covey_V1_ListVirtualMachinesResponse()
        response.items = page.items.map { Covey_V1_VirtualMachine($0) }
        response.nextPageToken = page.next
        return response
    }

    package func start(
        request: Covey_V1_StartVirtualMachineRequest, context call: ServerContext
    ) async throws -> Covey_V1_VirtualMachineMutation {
        try await change(request.tenant, request.name, request.requestID, .startMachine) { spec in
            spec.wanted = .running
            spec.forceStop = false
            spec.startRequest += 1
        }
    }

    package func stop(
        request: Covey_V1_StopVirtualMachineRequest, context call: ServerContext
    ) async throws -> Covey_V1_VirtualMachineMutation {
        let limit = request.hasTimeout ? try request.timeout.milliseconds("timeout") : nil
        if let limit { try context.validation.check(stopTimeout: limit) }
        // Without asking the guest is what a kill does.
        let force = request.force
        let kind = force ? OperationKind.killMachine : .stopMachine
        return try await change(
            request.tenant, request.name, request.requestID, kind, parameters: limit.map { String($0) } ?? ""
        ) { spec in
            spec.wanted = .stopped
            spec.forceStop = force
            if let limit { spec.stopTimeoutMilliseconds = limit }
        }
    }

    package func kill(
        request: Covey_V1_KillVirtualMachineRequest, context call: ServerContext
    ) async throws -> Covey_V1_VirtualMachineMutation {
        guard request.hasSignal else {
            return try await change(request.tenant, request.name, request.requestID, .killMachine) { spec in
                spec.wanted = .stopped
                spec.forceStop = true
            }
        }
        let signal = request.signal
        guard (1...64).contains(signal) else { throw CoveyError(.invalid, "there is no signal \(signal)") }
        let machine = try await machine(request.tenant, request.name)
        let node = machine.status.node ?? context.settings.node
        try await context.bounded("sending signal \(signal) to vm \(machine.metadata.name)") { gateway in
            try await gateway.signal(on: node, machine, exec: ExecRecord.main, signal: signal)
        }
        return mutation(machine, nil)
    }

    package func restart(
        request: Covey_V1_RestartVirtualMachineRequest, context call: ServerContext
    ) async throws -> Covey_V1_VirtualMachineMutation {
        try await change(request.tenant, request.name, request.requestID, .restartMachine) { spec in
            spec.wanted = .running
            spec.forceStop = false
            spec.restartRequest += 1
        }
    }

    package func delete(
        request: Covey_V1_DeleteVirtualMachineRequest, context call: ServerContext
    ) async throws -> Covey_V1_VirtualMachineMutation {
        let machine = try await machine(request.tenant, request.name)
        if !request.force && !machine.status.phase.isAtRest && !machine.spec.deleting {
            let name = machine.metadata.name
            throw CoveyError(
                .conflict, "vm \(name) is \(machine.status.phase.rawValue)",
                remedy: "stop it first (covey vm stop \(name)), or remove it as it is (covey vm rm -f \(name))",
                resource: ResourceReference("vm", name))
        }
        let changed = try await context.repositories.machines.updateSpec(
            machine.metadata.id, requestID: context.requestID(request.requestID), kind: .deleteMachine
        ) { spec in
            spec.wanted = .stopped
            spec.deleting = true
        }
        return mutation(changed.machine, changed.operation)
    }

    /// A machine by name or id.
    func machine(_ tenant: String, _ name: String) async throws -> VirtualMachine {
        guard !name.isEmpty else { throw CoveyError(.invalid, "the request names no vm") }
        return try await context.repositories.machines.get(try Tenant(named: tenant), name)
    }

    private func change(
        _ tenant: String, _ name: String, _ requestID: String, _ kind: OperationKind, parameters: String = "",
        _ body: @escaping @Sendable (inout MachineSpec) -> Void
    ) async throws -> Covey_V1_VirtualMachineMutation {
        let machine = try await machine(tenant, name)
        let changed = try await context.repositories.machines.updateSpec(
            machine.metadata.id, requestID: context.requestID(requestID), kind: kind, parameters: parameters
        ) { spec in
            guard !spec.deleting else {
                throw CoveyError(
                    .conflict, "vm \(machine.metadata.name) is being deleted",
                    resource: ResourceReference("vm", machine.metadata.name))
            }
            body(&spec)
        }
        return mutation(changed.machine, changed.operation)
    }

    private func mutation(_ machine: VirtualMachine, _ operation: Operation?) -> Covey_V1_VirtualMachineMutation {
        var answer = Covey_V1_VirtualMachineMutation()
        answer.virtualMachine = Covey_V1_VirtualMachine(machine)
        if let operation { answer.operation = Covey_V1_Operation(operation) }
        return answer
    }
}

extension MachinePhase {
    /// Whether nothing of the machine runs that anybody would miss: one that stops has ended already.
    fileprivate var isAtRest: Bool {
        switch self {
        case .pending, .stopping, .stopped, .failed, .deleting: true
        case .scheduled, .preparing, .starting, .running, .paused, .unknown: false
        }
    }
}
