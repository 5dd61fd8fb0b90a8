package import CoveyModel

/// What a leader or a taker of work proves with each of its writes: that its key is still the one it made.
///
/// A key that went and came again has another creation revision. So a write that carries the fence fails where its owner
/// was deposed, whatever the owner believes; that the key has a lease is for those who wait alone.
package struct Fence: Hashable, Sendable {
    /// The key that was made.
    package let key: StoreKey
    /// The revision that made it. Later owners have larger ones, so that it orders them beyond the store, too.
    package let revision: Revision

    /// Names a key and its making.
    package init(key: StoreKey, revision: Revision) {
        self.key = key
        self.revision = revision
    }

    /// The transaction with the fence among its compares. Where it does not hold the failure branch is taken, as with
    /// any other compare: ``transact(_:on:)`` tells which it was.
    ///
    /// - Throws: ``ErrorCode/invalid`` for a transaction that writes where a compare fails: a deposed owner would.
    package func guarded(_ transaction: Transaction) throws(CoveyError) -> Transaction {
        guard !transaction.failure.contains(where: \.writes) else {
            throw CoveyError(.invalid, "a transaction under \(key) writes where its compares fail")
        }
        var guarded = transaction
        guarded.compares.append(.createRevision(key, revision))
        return guarded
    }

    /// Carries a transaction out under the fence.
    ///
    /// - Throws: ``ErrorCode/conflict`` with ``deposed`` where the fence does not hold: nothing was written; what the
    ///   store throws.
    package func transact(_ transaction: Transaction, on store: any Store) async throws -> TransactionResult {
        var guarded = try guarded(transaction)
        guarded.failure.append(.get(key))
        var result = try await store.transact(guarded)
        if result.succeeded { return result }
        guard case .got(let entry?)? = result.results.popLast(), entry.createRevision == revision else {
            throw deposed
        }
        return result
    }

    /// What a deposed owner is told.
    package var deposed: CoveyError {
        CoveyError(
            .conflict, "\(key) of revision \(revision) has another owner, or none",
            remedy: "nothing was written; compete for it again", retryable: false)
    }

    /// Whether the key is still there as it was made. True for this moment only.
    package func holds(on store: any Store) async throws -> Bool {
        try await store.get(key)?.createRevision == revision
    }
}
