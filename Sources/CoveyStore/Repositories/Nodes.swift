package import CoveyModel

/// Nodes: what the hosts are and can do.
package struct Nodes: Sendable {
    let core: RepositoryCore

    /// Stores a node's facts, in place of those that were there; name and labels too. When it was made stays.
    @discardableResult
    package func register(_ node: Node) async throws -> Node {
        try await write(node.metadata.id) { old in
            var node = node
            if let old { node.metadata.createdAt = old.metadata.createdAt }
            return node
        }
    }

    /// Changes a node's facts. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: NodeID, change: @Sendable (inout NodeStatus) throws -> Void
    ) async throws -> Node {
        try await write(id) { node in
            guard var node else { throw CoveyError.notFound("node", id.description) }
            try change(&node.status)
            return node
        }
    }

    /// A node by id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    package func get(_ id: NodeID) async throws -> Node {
        guard let entry = try await core.store.get(KeySpace.node(id)) else {
            throw CoveyError.notFound("node", id.description)
        }
        return try decode(entry)
    }

    /// All nodes.
    package func list() async throws -> Listing<Node> {
        let (entries, revision) = try await core.store.list(KeySpace.nodes)
        var listing = Listing<Node>(items: [], setAside: [], revision: revision)
        for entry in entries {
            do { listing.items.append(try decode(entry)) } catch let error as CoveyError {
                listing.setAside.append(SetAside(key: entry.key, reason: error.description))
            }
        }
        return listing
    }

    private func decode(_ entry: StoreEntry) throws -> Node {
        do {
            let record = try NodeRecord.format.decode(entry.value)
            let metadata = Metadata<Node>(
                id: record.id, name: record.name, tenant: record.tenant, labels: record.labels,
                createdAt: record.createdAt, revision: entry.modRevision.number)
            return Node(metadata: metadata, status: record.status)
        } catch let error as CoveyError { throw error.with(context: entry.key.text) }
    }

    private func write(_ id: NodeID, _ change: (Node?) throws -> Node) async throws -> Node {
        try await core.settle("writing node \(id)") {
            let entry = try await core.store.get(KeySpace.node(id))
            let old = try entry.map(decode)
            var node = try change(old)
            if let old {
                node.metadata.revision = old.metadata.revision
                if node == old { return old }
            }
            let record = NodeRecord(
                id: id, name: node.metadata.name, tenant: node.metadata.tenant, labels: node.metadata.labels,
                createdAt: node.metadata.createdAt, status: node.status)
            var draft = Draft()
            if let entry {
                draft.replace(entry, try NodeRecord.format.encode(record, over: entry.value))
            } else {
                draft.create(KeySpace.node(id), try NodeRecord.format.encode(record))
            }
            try await Events(core: core).add(
                node.status.conditions.happenings(since: old?.status.conditions ?? []),
                about: ResourceReference("node", record.name), id.description, tenant: record.tenant, &draft)
            let result = try await core.store.transact(draft.transaction)
            guard result.succeeded else { return nil }
            node.metadata.revision = result.revision.number
            return node
        }
    }
}
