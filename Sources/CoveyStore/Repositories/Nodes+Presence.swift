package import CoveyModel

extension Nodes {
    /// Gives a node its name, in one transaction, and frees the one that it had; idempotent.
    ///
    /// - Throws: ``ErrorCode/invalid`` for a bad name, ``ErrorCode/conflict`` where another node has it.
    package func claim(_ name: String, for node: NodeID) async throws {
        try Names.checkLabel(name, kind: "node")
        let value = Array(node.description.utf8)
        try await core.settle("naming node \(node)") { () async throws -> Void? in
            let entries = try await core.store.get(all: [KeySpace.nodeName(name), KeySpace.node(node)]).entries
            let before = try entries[1].map { try NodeRecord.format.decode($0.value).name }
            var draft = Draft()
            if let holder = entries[0] {
                guard holder.value == value else { throw try await taken(name, by: holder.value) }
            } else {
                draft.create(KeySpace.nodeName(name), value)
            }
            if let before, before != name {
                let old = KeySpace.nodeName(before)
                if let entry = try await core.store.get(old), entry.value == value {
                    draft.expect(entry)
                    draft.delete(old)
                }
            }
            if draft.operations.isEmpty { return () }
            return try await core.store.transact(draft.transaction).succeeded ? () : nil
        }
    }

    /// A node's name for people; its id where it has no record, and a word where nobody knows.
    package func name(of node: NodeID?) async throws -> String {
        guard let node else { return "unknown" }
        do { return try await get(node).metadata.name } catch let error as CoveyError where error.code == .notFound {
            return node.description
        }
    }

    private func taken(_ name: String, by value: [UInt8]) async throws -> CoveyError {
        let id = String(decoding: value, as: UTF8.self)
        var whose = "node \(id)"
        if let node = NodeID(id), let record = try? await get(node) { whose += ", instance \(record.status.instance)" }
        return CoveyError(
            .conflict, "the node name \(name) is another daemon's: \(whose)",
            remedy: "give this daemon another one: --node-name", resource: ResourceReference("node", name))
    }

    // MARK: Presence

    /// So long a node counts as present after its last sign, in seconds.
    package static let presence = 15

    /// The nodes whose daemons run, as far as is known: a sign that comes late is no proof of the contrary.
    package func present() async throws -> Set<NodeID> {
        Set(try await core.store.list(KeySpace.presences).entries.compactMap { NodeID(KeySpace.last($0.key)) })
    }

    /// Shows that a node's daemon runs, until it is cancelled. A store that does not answer is tried again.
    ///
    /// - Parameter clock: Measures the times between signs.
    /// - Throws: ``ErrorCode/conflict`` where the node's name has become another's.
    package func stayPresent(_ node: NodeID, as name: String, clock: StoreClock) async throws {
        var lease: Lease?
        while true {
            do {
                if let known = lease {
                    try await core.store.keepAlive(known.id)
                } else {
                    lease = try await show(node, as: name)
                }
            } catch let error as CoveyError where error.code == .notFound {
                lease = nil
                continue
            } catch let error as CoveyError where error.code == .unavailable || error.code == .outcomeUnknown {
                // The next sign is tried in a moment.
            }
            do { try await clock.sleep(clock.elapsed() + .seconds(Nodes.presence) / 3) } catch {
                // It ends in order: nobody has to wait for the lease.
                if let lease { try? await core.store.revokeLease(lease.id) }
                throw error
            }
        }
    }

    private func show(_ node: NodeID, as name: String) async throws -> Lease {
        let lease = try await core.store.grantLease(seconds: Nodes.presence)
        let shown = try await core.store.transact(
            Transaction(
                compares: [.value(KeySpace.nodeName(name), Array(node.description.utf8))],
                success: [.put(KeySpace.presence(node), Array(name.utf8), lease: lease.id)]))
        guard shown.succeeded else {
            let holder = try await core.store.get(KeySpace.nodeName(name))
            throw try await taken(name, by: holder?.value ?? [])
        }
        return lease
    }
}
