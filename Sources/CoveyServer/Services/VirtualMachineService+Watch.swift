package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
package import GRPCCore

extension VirtualMachineService {
    package func watch(
        request: Covey_V1_WatchVirtualMachinesRequest, response: RPCWriter<Covey_V1_VirtualMachineEvent>,
        context call: ServerContext
    ) async throws {
        let tenant = try Tenant(named: request.tenant)
        let only = request.hasName ? try await machine(request.tenant, request.name).metadata.id : nil
        var known: [MachineID: String] = [:]
        var synced = false
        for try await change in context.repositories.machines.watch(tenant) {
            switch change {
            case .listed(let listing):
                let present = Set(listing.items.map(\.metadata.id))
                for id in known.keys.sorted() where !present.contains(id) {
                    try await response.write(gone(id, known.removeValue(forKey: id) ?? id.description))
                }
                for machine in listing.items where only == nil || only == machine.metadata.id {
                    known[machine.metadata.id] = machine.metadata.name
                    try await response.write(changed(machine))
                }
                if let only, known[only] == nil { return try await response.write(gone(only, request.name)) }
                if !synced {
                    synced = true
                    var event = Covey_V1_VirtualMachineEvent()
                    event.synced = true
                    try await response.write(event)
                }
            case .updated(let machine):
                guard only == nil || only == machine.metadata.id else { continue }
                known[machine.metadata.id] = machine.metadata.name
                try await response.write(changed(machine))
            case .removed(let id):
                guard let name = known.removeValue(forKey: id) else { continue }
                try await response.write(gone(id, name))
                if only != nil { return }
            case .setAside: continue
            }
        }
    }

    private func changed(_ machine: VirtualMachine) -> Covey_V1_VirtualMachineEvent {
        var event = Covey_V1_VirtualMachineEvent()
        event.changed = Covey_V1_VirtualMachine(machine)
        event.id = machine.metadata.id.description
        return event
    }

    private func gone(_ id: MachineID, _ name: String) -> Covey_V1_VirtualMachineEvent {
        var event = Covey_V1_VirtualMachineEvent()
        event.deleted = Covey_V1_ResourceReference(ResourceReference("vm", name))
        event.id = id.description
        return event
    }
}
