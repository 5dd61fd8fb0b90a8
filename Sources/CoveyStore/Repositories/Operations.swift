package import CoveyModel

/// Operations. They are made by the calls that change what is wanted.
package struct Operations: Sendable {
    private let core: RepositoryCore
    private var table: ResourceTable<Operation> { ResourceTable(core: core) }

    init(_ core: RepositoryCore) { self.core = core }

    /// Finished operations stay so long,
    package static let retention = Duration.seconds(24 * 3600)
    /// and at most so many of them.
    package static let bound = 1000

    /// An operation by id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    package func get(_ id: OperationID) async throws -> Operation {
        try await table.load(id).resource
    }

    /// An operation by id or unambiguous part of it. Errors: ``ErrorCode/notFound``, ``ErrorCode/conflict``.
    package func get(_ tenant: Tenant, _ reference: String) async throws -> Operation {
        try await table.resolve(tenant, reference).resource
    }

    /// The operations of a tenant, or of all (nil), oldest first in each tenant.
    package func list(_ tenant: Tenant? = nil) async throws -> Listing<Operation> {
        try await table.list(tenant)
    }

    /// The operations of a node on a thing, by its id, that are not final.
    package func listUnfinished(node: NodeID, target: String) async throws -> Listing<Operation> {
        var listing = try await table.list(nil, mention: target)
        listing.items.removeAll { $0.spec.targetID != target || $0.spec.node != node || $0.status.state.isFinal }
        return listing
    }

    /// Changes how far it is; a final state stays (``ErrorCode/conflict``), and ``OperationStatus/finishedAt`` is set
    /// with it. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: OperationID, change: @Sendable (inout OperationStatus) throws -> Void
    ) async throws -> Operation {
        try await table.updateStatus(id) { status in
            let old = status
            try change(&status)
            if status == old { return }
            if old.state.isFinal { throw Operations.isFinal(id, old.state) }
            if status.state.isFinal && status.finishedAt == nil { status.finishedAt = core.now() }
        }
    }

    /// Stores the wish to take it back; idempotent. Errors: ``ErrorCode/conflict`` where it is final.
    @discardableResult
    package func requestCancel(_ id: OperationID) async throws -> Operation {
        try await core.settle("cancelling operation \(id)") {
            var loaded = try await table.load(id)
            if loaded.record.spec.cancelRequested { return loaded.resource }
            if loaded.status.state.isFinal { throw Operations.isFinal(id, loaded.status.state) }
            loaded.record.spec.cancelRequested = true
            loaded.record.generation += 1
            var draft = Draft()
            draft.expect(loaded.statusEntry)
            draft.replace(
                loaded.specEntry, try Operation.specFormat.encode(loaded.record, over: loaded.specEntry.value))
            let result = try await core.store.transact(draft.transaction)
            return result.succeeded ? loaded.resource.at(result.revision) : nil
        }
    }

    /// Removes finished operations that are older than ``retention`` or beyond ``bound``, and their request ids.
    /// Returns how many.
    @discardableResult
    package func prune() async throws -> Int {
        let now = core.now()
        let oldest = now.advanced(by: .zero - Operations.retention)
        let finished = try await table.list(nil).items
            .filter { $0.status.state.isFinal }
            .sorted { ($0.status.finishedAt ?? now, $0.metadata.id) > ($1.status.finishedAt ?? now, $1.metadata.id) }
        let gone = finished.enumerated().filter { index, operation in
            index >= Operations.bound || (operation.status.finishedAt ?? now) < oldest
        }.map(\.element)
        // Four keys each: one transaction holds so many.
        for start in stride(from: 0, to: gone.count, by: Transaction.operationLimit / 4) {
            var draft = Draft()
            for operation in gone[start...].prefix(Transaction.operationLimit / 4) {
                let (tenant, id) = (operation.metadata.tenant, operation.metadata.id)
                draft.delete(KeySpace.spec(tenant, id))
                draft.delete(KeySpace.status(tenant, id))
                draft.delete(KeySpace.owner(id))
                draft.delete(KeySpace.request(tenant, operation.spec.requestID))
            }
            _ = try await core.settle("pruning operations") { try await core.store.transact(draft.transaction) }
        }
        try await pruneRequests(before: oldest)
        return gone.count
    }

    /// The operations of a tenant, or of all (nil), and their changes.
    package func watch(_ tenant: Tenant? = nil) -> ChangeStream<Operation> { table.watch(tenant) }

    /// Forgets the ids of requests without an operation.
    private func pruneRequests(before oldest: Timestamp) async throws {
        let entries = try await core.store.list(KeySpace.requests).entries
        let gone = entries.filter { entry in
            // One that cannot be read stays.
            guard let record = try? RequestRecord.format.decode(entry.value) else { return false }
            return record.operation == nil && record.createdAt < oldest
        }
        for start in stride(from: 0, to: gone.count, by: Transaction.operationLimit) {
            var draft = Draft()
            for entry in gone[start...].prefix(Transaction.operationLimit) { draft.delete(entry.key) }
            _ = try await core.settle("pruning requests") { try await core.store.transact(draft.transaction) }
        }
    }

    private static func isFinal(_ id: OperationID, _ state: OperationState) -> CoveyError {
        CoveyError(
            .conflict, "operation \(id) has \(state.rawValue) already",
            resource: ResourceReference("operation", id.description))
    }
}
