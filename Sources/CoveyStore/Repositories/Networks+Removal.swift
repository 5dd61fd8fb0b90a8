package import CoveyModel

extension Networks {
    /// What one transaction takes along of a network's resting addresses.
    private static let batch = 100

    /// Removes a network with its keys in one transaction, which no machine that is made meanwhile survives: it compares
    /// that nobody has an address.
    ///
    /// - Throws: ``ErrorCode/notFound``; ``ErrorCode/conflict`` naming machines that have an address, or for a request
    ///   id that was used for something else.
    package func remove(_ tenant: Tenant, _ reference: String, requestID: String) async throws {
        try Request.check(requestID)
        let digest = RecordCoding.digest([Array("remove network".utf8), Array(reference.utf8)])
        let requestKey = KeySpace.request(tenant.description, requestID)
        let id = try await core.settle("removing network \(reference)") { () async throws -> NetworkID? in
            if let entry = try await core.store.get(requestKey) {
                let record = try table.read(entry) { try RequestRecord.format.decode($0) }
                guard record.digest == digest, let id = NetworkID(record.target) else {
                    throw CoveyError(
                        .conflict, "request id \(requestID) was used for another request",
                        remedy: "use a new request id")
                }
                return id
            }
            let loaded = try await table.resolve(tenant, reference)
            let id = loaded.record.id
            try await refuseUsed(loaded)
            let entry = try await core.store.get(KeySpace.blocks)
            var blocks = try read(entry)
            blocks.networks.removeAll { $0.network == id }
            let rests = try await core.store.range(
                KeySpace.rests(id), from: nil, limit: Networks.batch, at: nil
            ).entries
            var draft = Draft()
            draft.compares.append(.prefixEmpty(KeySpace.addresses(id)))
            draft.expect(loaded.specEntry)
            draft.delete(loaded.specEntry.key)
            draft.delete(loaded.statusEntry.key)
            draft.delete(KeySpace.owner(id))
            draft.delete(KeySpace.name(.network, loaded.record.tenant, loaded.record.name))
            try write(blocks, over: entry, &draft)
            for rest in rests { draft.delete(rest.key) }
            try table.add(
                Request(id: requestID, digest: digest, operation: nil), target: id, tenant: loaded.record.tenant,
                to: &draft)
            return try await core.store.transact(draft.transaction).succeeded ? id : nil
        }
        // Of a network that is gone nothing is given again; what a crash leaves, the next sweep takes.
        try await forgetRests(of: id)
    }

    /// Forgets addresses that have rested, and all that networks left that are gone. To be called at times.
    package func sweep() async throws {
        let now = core.now()
        var known: [NetworkID: Bool] = [:]
        var gone: [StoreEntry] = []
        for entry in try await core.store.list(KeySpace.rests).entries {
            guard let (network, _) = KeySpace.networkAddress(entry.key) else { continue }
            if known[network] == nil { known[network] = try await table.owner(network) != nil }
            if known[network] == false {
                gone.append(entry)
            } else if let record = try? RestRecord.format.decode(entry.value), record.isOver(now) {
                gone.append(entry)
            }
        }
        try await forget(gone)
    }

    private func forgetRests(of id: NetworkID) async throws {
        try await forget(try await core.store.list(KeySpace.rests(id)).entries)
    }

    /// Deletes rests that are as they were read; those that are not any more stay.
    private func forget(_ entries: [StoreEntry]) async throws {
        for start in stride(from: 0, to: entries.count, by: Networks.batch) {
            let batch = entries[start...].prefix(Networks.batch)
            var draft = Draft()
            for entry in batch {
                draft.expect(entry)
                draft.delete(entry.key)
            }
            let whole = draft.transaction
            let done = try await core.settle("forgetting addresses") { try await core.store.transact(whole).succeeded }
            if done { continue }
            for entry in batch {
                let single = Transaction(
                    compares: [.modRevision(entry.key, entry.modRevision)], success: [.delete(entry.key)])
                _ = try await core.settle("forgetting an address") { try await core.store.transact(single) }
            }
        }
    }

    private func refuseUsed(_ loaded: Loaded<Network>) async throws {
        let held = try await core.store.list(KeySpace.addresses(loaded.record.id)).entries
        guard !held.isEmpty else { return }
        var users: [MachineID] = []
        for entry in held {
            let record = try table.read(entry) { try AddressRecord.format.decode($0) }
            if !users.contains(record.machine) { users.append(record.machine) }
        }
        let addresses = Addresses(core)
        var names: [String] = []
        for user in users.prefix(3) { names.append("vm \(try await addresses.name(of: user))") }
        if users.count > names.count { names.append("\(users.count - names.count) more") }
        let name = loaded.record.name
        throw CoveyError(
            .conflict, "network \(name) is in use by \(names.joined(separator: ", "))",
            remedy: "remove them first: covey vm rm NAME", resource: ResourceReference("network", name))
    }
}
