package import CoveyModel

/// Machines: what is wanted of them and what was seen.
///
/// A mutating call with a request id can be repeated: the repeat returns the first result, with the resource as it
/// stands now. ``ErrorCode/outcomeUnknown`` is resolved in here by reading back, and thrown only where that fails too.
package struct Machines: Sendable {
    /// So many machines fit on a node: each has a uid slot of its own.
    package static let slotsPerNode = 4096

    let core: RepositoryCore
    var table: ResourceTable<VirtualMachine> { ResourceTable(core: core) }

    init(_ core: RepositoryCore) { self.core = core }

    /// Makes a machine bound to a node, with its name, its uid slot and its operation, in one transaction.
    ///
    /// - Parameters:
    ///   - requestID: The caller's request id; a repeat with the same content returns the first result.
    /// - Throws: ``ErrorCode/conflict`` where the name is taken, the request id was used for something else, or the
    ///   image is being deleted, an address or a port is taken;
    ///   ``ErrorCode/invalid`` for a bad name; ``ErrorCode/exhausted`` where the node has no uid slot left.
    package func create(
        _ tenant: Tenant, name: String, labels: [String: String] = [:], spec: MachineSpec, node: NodeID,
        requestID: String, kind: OperationKind = .createMachine
    ) async throws -> (machine: VirtualMachine, operation: Operation) {
        try Names.checkLabel(name, kind: "vm")
        let metadata = Metadata(
            id: core.ids.next(VirtualMachine.self), name: name, tenant: tenant.description, labels: labels,
            createdAt: core.now())
        var status = MachineStatus()
        status.node = node
        // What names meant at the time of the first try does not make a repeat another request.
        var asked = spec
        asked.imageID = nil
        asked.kernelID = nil
        for index in asked.volumes.indices { asked.volumes[index].volumeID = nil }
        for index in asked.networks.indices { asked.networks[index].networkID = nil }
        let digest = try core.digest(kind, name, labels, asked)
        do {
            return try await create(
                VirtualMachine(metadata: metadata, spec: spec, status: status), node, requestID, kind, digest)
        } catch let error as CoveyError
            where spec.imageID != nil || !spec.volumes.isEmpty || !spec.networks.isEmpty || !spec.ports.isEmpty
        {
            // The machine that has the volume, the address or the port may be the one that this request made before;
            // its image may be gone.
            guard let first = try await table.earlier(error, tenant, requestID: requestID, digest: digest) else {
                throw error
            }
            return first
        }
    }

    private func create(
        _ machine: VirtualMachine, _ node: NodeID, _ requestID: String, _ kind: OperationKind, _ digest: String
    ) async throws -> (machine: VirtualMachine, operation: Operation) {
        let metadata = machine.metadata
        var tries = 0
        let made = try await table.create(
            machine, node: node, bound: true, requestID: requestID, kind: kind, digest: digest
        ) { draft, machine in
            if tries > 0 { core.slots.forget(node) }
            tries += 1
            let slot = try await reserveSlot(node)
            draft.create(KeySpace.uid(node, slot), Array(metadata.id.description.utf8))
            let binding = BindingRecord(tenant: metadata.tenant, generation: metadata.generation)
            draft.create(KeySpace.binding(node, metadata.id), try BindingRecord.format.encode(binding))
            if let image = machine.spec.imageID { try await Images(core).expectKept(image, &draft) }
            for mount in machine.spec.volumes {
                try await Volumes(core).give(mount, to: metadata.id, name: metadata.name, node: node, &draft)
            }
            try await Addresses(core).change([], to: &machine.spec.networks, of: metadata, &draft)
            try await PortClaims(core).change([], to: machine.spec.ports, of: metadata.id, on: node, &draft)
            machine.status.show(machine.spec)
            try await Events(core: core).add(
                [Happening(.created, "it was made from \(machine.spec.image)")],
                about: ResourceReference("vm", metadata.name), metadata.id.description, tenant: metadata.tenant,
                isNew: true, &draft)
            return slot
        }
        return (made.resource, made.operation)
    }

    /// A machine by id. Errors: ``ErrorCode/notFound``; ``ErrorCode/corrupt`` for a record that cannot be read.
    package func get(_ id: MachineID) async throws -> VirtualMachine {
        try await table.load(id).resource
    }

    /// A machine by name, id, or an unambiguous beginning (8 digits or more) or end of an id.
    ///
    /// Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict`` for an ambiguous one, ``ErrorCode/corrupt``.
    package func get(_ tenant: Tenant, _ reference: String) async throws -> VirtualMachine {
        try await table.resolve(tenant, reference).resource
    }

    /// The machines of a tenant, or of all (nil), that have all the labels.
    package func list(
        _ tenant: Tenant? = nil, labels: [String: String] = [:]
    ) async throws -> Listing<VirtualMachine> {
        try await table.list(tenant, labels: labels)
    }

    /// The machines bound to a node.
    package func list(node: NodeID) async throws -> Listing<VirtualMachine> {
        let (bindings, revision) = try await core.store.list(KeySpace.bindings(node))
        var listing = Listing<VirtualMachine>(items: [], setAside: [], revision: revision)
        for binding in bindings {
            guard let id = KeySpace.boundMachine(binding.key) else {
                listing.setAside.append(SetAside(key: binding.key, reason: "the key is none that this program knows"))
                continue
            }
            do {
                let record = try table.read(binding) { try BindingRecord.format.decode($0) }
                listing.items.append(try await table.load(record.tenant, id).loaded.resource)
            } catch let error as CoveyError {
                switch error.code {
                // Removed since the bindings were read.
                case .notFound: continue
                case .corrupt: listing.setAside.append(SetAside(key: binding.key, reason: error.description))
                case _: throw error
                }
            }
        }
        return listing
    }

    /// The machine's uid slot on its node, from 0; its own as long as the machine exists.
    package func uidSlot(_ id: MachineID) async throws -> Int {
        let loaded = try await table.load(id)
        guard let slot = loaded.record.uidSlot else {
            throw CoveyError(.corrupt, "\(loaded.specEntry.key): the machine has no uid slot")
        }
        return slot
    }

    /// Those of the ports that machines of a node keep others from publishing.
    package func claimed(_ ports: [PublishedPort], on node: NodeID) async throws -> Set<PublishedPort> {
        try await PortClaims(core).claimed(ports, on: node)
    }

    /// Changes what is wanted, raises the generation, rewrites the node's binding (so the node's watch wakes up), and
    /// stores an operation where `kind` is given, all in one transaction. A change that changes nothing, without
    /// `kind`, writes nothing.
    ///
    /// - Parameters:
    ///   - expected: The spec's revision that the caller has seen; nil takes any.
    ///   - requestID: The caller's request id; nil makes one where `kind` is given.
    ///   - kind: The operation to store; nil stores none.
    ///   - parameters: What tells this request from others of its kind on the machine, for recognising a repeat.
    ///   - change: May be called several times; what it throws is thrown.
    /// - Throws: ``ErrorCode/notFound``; ``ErrorCode/conflict`` for another revision than `expected`, for a request id
    ///   that was used for something else, or after too many losses against others.
    package func updateSpec(
        _ id: MachineID, expected: Revision? = nil, requestID: String? = nil, kind: OperationKind? = nil,
        parameters: String = "", change: @Sendable (inout MachineSpec) throws -> Void
    ) async throws -> (machine: VirtualMachine, operation: Operation?) {
        var repeatable: Request?
        if let requestID = requestID ?? kind.map({ _ in core.ids.next(Operation.self).description }) {
            try Request.check(requestID)
            let digest = RecordCoding.digest(
                [kind?.rawValue ?? "", id.description, parameters].map { Array($0.utf8) })
            repeatable = Request(id: requestID, digest: digest)
        }
        var written: [UInt8]?
        return try await core.settle("changing vm \(id)") { () async throws -> (VirtualMachine, Operation?)? in
            guard let tenant = try await table.owner(id) else { throw CoveyError.notFound("vm", id.description) }
            var (loaded, others) = try await table.load(
                tenant, id, with: repeatable.map { [KeySpace.request(tenant, $0.id)] } ?? [])
            if let repeatable,
                let first = try await table.firstResult(
                    others[0], requestID: repeatable.id, digest: repeatable.digest)
            {
                return (first.resource, first.operation)
            }
            // An attempt whose outcome was unknown.
            if loaded.specEntry.value == written { return (loaded.resource, nil) }
            if let expected, loaded.specEntry.modRevision != expected {
                throw CoveyError(
                    .conflict, "vm \(loaded.record.name) has changed since revision \(expected)",
                    remedy: "read it again and repeat the change",
                    resource: ResourceReference("vm", loaded.record.name))
            }
            let old = loaded.record.spec
            try change(&loaded.record.spec)
            if kind == nil && loaded.record.spec == old { return (loaded.resource, nil) }
            loaded.record.generation += 1
            var draft = Draft()
            try await changeNetworks(from: old, &loaded, &draft)
            let value = try VirtualMachine.specFormat.encode(loaded.record, over: loaded.specEntry.value)
            draft.replace(loaded.specEntry, value)
            if let node = loaded.record.node {
                let binding = BindingRecord(tenant: tenant, generation: loaded.record.generation)
                draft.put(KeySpace.binding(node, id), try BindingRecord.format.encode(binding))
            }
            var operation: Operation?
            if var request = repeatable {
                operation = kind.map {
                    table.operation(
                        $0, on: loaded.record.metadata(.zero), generation: loaded.record.generation,
                        requestID: request.id, node: loaded.record.node)
                }
                request.operation = operation
                try table.add(request, target: id, tenant: tenant, to: &draft)
            }
            if repeatable == nil { written = value }
            let result = try await core.store.transact(draft.transaction)
            guard result.succeeded else { return nil }
            return (loaded.resource.at(result.revision), operation?.at(result.revision))
        }
    }

    /// Changes what was seen; the spec's revision stays. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: MachineID, change: @Sendable (inout MachineStatus) throws -> Void
    ) async throws -> VirtualMachine {
        try await table.updateStatus(id, change: change)
    }

    /// Removes all keys of a machine in one transaction: records, name, binding, uid slot, finished runs; idempotent.
    /// Its operations stay until they are pruned.
    ///
    /// Its volumes are detached with it, its addresses rest, its ports are free.
    ///
    /// Errors: ``ErrorCode/conflict`` while a run of it is not finished.
    package func remove(_ id: MachineID) async throws {
        try await table.remove(id) { loaded, draft in
            try await table.tell([Happening(.deleted, "it was removed")], loaded, &draft)
            try await Volumes(core).takeAll(loaded.record.spec.volumes, from: id, &draft)
            let (addresses, networks) = (Addresses(core), loaded.record.spec.networks)
            for network in networks { try await addresses.release(network, of: id, &draft) }
            try await addresses.clean(networks, &draft)
            guard let node = loaded.record.node else { return }
            try await PortClaims(core).change(loaded.record.spec.ports, to: [], of: id, on: node, &draft)
            let runs = try await core.store.list(KeySpace.runs(node, id)).entries
            for entry in runs {
                let run = try table.read(entry) { try Run.format.decode($0) }
                guard run.state == .finished else { throw Runs.unfinished(loaded.record.name, run) }
            }
            // What one transaction cannot hold goes first.
            let rest = runs.suffix(32)
            for entry in runs.dropLast(32) {
                _ = try await core.store.transact(Transaction(success: [.delete(entry.key)]))
            }
            for entry in rest { draft.delete(entry.key) }
            draft.delete(KeySpace.binding(node, id))
            if let slot = loaded.record.uidSlot { draft.delete(KeySpace.uid(node, slot)) }
        }
    }

    /// The machines of a node: changes of what is wanted, not of what was seen.
    package func watch(node: NodeID) -> ChangeStream<VirtualMachine> {
        let follower = Follower<VirtualMachine>(
            store: core.store, prefix: KeySpace.bindings(node), list: { try await list(node: node) },
            identify: { KeySpace.boundMachine($0) }, read: { try await get($0) })
        return ChangeStream { try await follower.next() }
    }

    /// The machines of a tenant, or of all (nil): changes of what is wanted and of what was seen.
    package func watch(_ tenant: Tenant? = nil) -> ChangeStream<VirtualMachine> { table.watch(tenant) }

    /// Adds what follows from a changed spec for addresses and ports.
    /// Errors: ``ErrorCode/conflict`` for other networks of a machine that is up.
    private func changeNetworks(
        from old: MachineSpec, _ loaded: inout Loaded<VirtualMachine>, _ draft: inout Draft
    ) async throws {
        let spec = loaded.record.spec
        guard spec.networks != old.networks || spec.ports != old.ports else { return }
        if spec.networks != old.networks {
            guard loaded.status.phase.holdsNothing else {
                throw CoveyError(
                    .conflict,
                    "vm \(loaded.record.name) is \(loaded.status.phase.rawValue), and its networks can be changed "
                        + "while it is stopped only",
                    remedy: "stop it first: covey vm stop \(loaded.record.name)",
                    resource: ResourceReference("vm", loaded.record.name))
            }
            // A start that begins meanwhile has changed it.
            draft.expect(loaded.statusEntry)
            try await Addresses(core).change(
                old.networks, to: &loaded.record.spec.networks, of: loaded.record.metadata(.zero), &draft)
        }
        if let node = loaded.record.node {
            try await PortClaims(core).change(old.ports, to: spec.ports, of: loaded.record.id, on: node, &draft)
        }
        var status = loaded.status
        status.show(loaded.record.spec)
        guard status != loaded.status else { return }
        draft.replace(
            loaded.statusEntry, try VirtualMachine.statusFormat.encode(status, over: loaded.statusEntry.value))
        loaded.status = status
    }

    /// Reserves the lowest free uid slot of a node.
    private func reserveSlot(_ node: NodeID) async throws -> Int {
        if let slot = core.slots.take(node, limit: Machines.slotsPerNode) { return slot }
        let used = try await core.store.list(KeySpace.uids(node)).entries.compactMap { KeySpace.slot($0.key) }
        core.slots.learn(node, used: Set(used))
        guard let slot = core.slots.take(node, limit: Machines.slotsPerNode) else {
            throw CoveyError(
                .exhausted, "node \(node) has \(Machines.slotsPerNode) machines, and no uid slot for another",
                remedy: "remove machines that are not needed any more")
        }
        return slot
    }
}

extension MachineStatus {
    /// Shows the addresses and ports that a spec gives.
    fileprivate mutating func show(_ spec: MachineSpec) {
        addresses = spec.addresses.map(\.description)
        ports = spec.ports.map(\.description)
    }
}
