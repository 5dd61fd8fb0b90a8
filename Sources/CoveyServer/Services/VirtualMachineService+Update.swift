package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
package import GRPCCore

extension VirtualMachineService {
    package func update(
        request: Covey_V1_UpdateVirtualMachineRequest, context call: ServerContext
    ) async throws -> Covey_V1_VirtualMachineMutation {
        var change = try MachineChange(request)
        guard !change.isEmpty else { throw CoveyError(.invalid, "the request changes nothing") }
        let machine = try await machine(request.tenant, request.name)
        let resolution = MachineResolution(context)
        let asked = change.description
        if let networks = change.networks {
            try context.validation.check(networks: networks)
            change.networks = try await resolution.networks(networks, tenant: try Tenant(named: request.tenant))
        }
        try await resolution.checkFree(change.publish, on: machine.status.node)
        var answer = Covey_V1_VirtualMachineMutation()
        if request.dryRun {
            var wanted = machine
            try change.apply(to: &wanted.spec)
            answer.virtualMachine = Covey_V1_VirtualMachine(wanted)
            return answer
        }
        let wish = change
        let changed = try await context.repositories.machines.updateSpec(
            machine.metadata.id, requestID: context.requestID(request.requestID),
            parameters: asked
        ) { spec in
            guard !spec.deleting else {
                throw CoveyError(
                    .conflict, "vm \(machine.metadata.name) is being deleted",
                    resource: ResourceReference("vm", machine.metadata.name))
            }
            try wish.apply(to: &spec)
        }
        answer.virtualMachine = Covey_V1_VirtualMachine(changed.machine)
        return answer
    }

    package func rename(
        request: Covey_V1_RenameVirtualMachineRequest, context call: ServerContext
    ) async throws -> Covey_V1_VirtualMachineMutation {
        guard !request.name.isEmpty else { throw CoveyError(.invalid, "the request names no vm") }
        // By the name as it was written: a repeat comes when that is nobody's, or another's.
        let machine = try await context.repositories.machines.rename(
            try Tenant(named: request.tenant), request.name, to: request.newName,
            requestID: context.requestID(request.requestID))
        var answer = Covey_V1_VirtualMachineMutation()
        answer.virtualMachine = Covey_V1_VirtualMachine(machine)
        return answer
    }

    package func listPorts(
        request: Covey_V1_ListPortsRequest, context call: ServerContext
    ) async throws -> Covey_V1_ListPortsResponse {
        let machine = try await machine(request.tenant, request.name)
        let node = machine.status.node ?? context.settings.node
        let ports = try await context.bounded("asking vm \(machine.metadata.name) for its ports") { gateway in
            try await gateway.listeningPorts(on: node, of: machine)
        }
        var response = Covey_V1_ListPortsResponse()
        response.items = ports.sorted().map { Covey_V1_ListeningPort($0) }
        return response
    }

    package func getFigures(
        request: Covey_V1_GetFiguresRequest, context call: ServerContext
    ) async throws -> Covey_V1_GetFiguresResponse {
        let tenant = try Tenant(named: request.tenant)
        var machines: [VirtualMachine] = []
        if request.names.isEmpty {
            machines = try await context.repositories.machines.list(tenant).items.filter { $0.status.phase == .running }
        } else {
            for name in request.names { machines.append(try await machine(request.tenant, name)) }
        }
        // One that does not answer does not keep the others from it.
        let uses = try await withThrowingTaskGroup(of: (Int, MachineUse).self) { group in
            for (index, machine) in machines.enumerated() {
                group.addTask { (index, try await use(machine)) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        var response = Covey_V1_GetFiguresResponse()
        response.items = uses.sorted { $0.0 < $1.0 }.map { Covey_V1_MachineUse($0.1) }
        return response
    }

    private func use(_ machine: VirtualMachine) async throws -> MachineUse {
        let node = machine.status.node ?? context.settings.node
        var use = MachineUse(id: machine.metadata.id, name: machine.metadata.name)
        do {
            use.figures = try await context.bounded("looking at vm \(machine.metadata.name)") { gateway in
                try await gateway.figures(on: node, of: machine)
            }
        } catch let error as CoveyError where error.code != .cancelled {
            use.error = error
        }
        return use
    }
}
