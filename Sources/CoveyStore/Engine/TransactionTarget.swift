internal import CoveyModel

/// What a transaction works on inside a store.
package protocol TransactionTarget {
    /// What stands under a key.
    mutating func entry(_ key: StoreKey) throws -> StoreEntry?
    /// Whether no key begins so.
    mutating func isEmpty(_ prefix: StoreKey) throws -> Bool
    /// Whether a lease was granted and has not ended.
    mutating func hasLease(_ lease: LeaseID) throws -> Bool
    /// Writes an entry in place of what stands under its key.
    mutating func write(_ entry: StoreEntry) throws
    /// Deletes a key that exists.
    mutating func delete(_ key: StoreKey, at revision: Revision) throws
}

extension Transaction {
    /// Carries the transaction out: the one place that knows what its parts mean.
    ///
    /// - Parameters:
    ///   - target: What it works on; whoever calls undoes it where this throws.
    ///   - revision: The newest revision.
    /// - Returns: The answer, and the changes; without a change the revision is the old one.
    /// - Throws: ``ErrorCode/notFound`` before anything was written where a lease is gone; what the target throws.
    package func apply(
        to target: inout some TransactionTarget, after revision: Revision
    ) throws -> (result: TransactionResult, events: [StoreEvent]) {
        var succeeded = true
        for compare in compares where succeeded {
            if case .prefixEmpty(let prefix) = compare {
                succeeded = try target.isEmpty(prefix)
            } else {
                succeeded = compare.holds(for: try target.entry(compare.key))
            }
        }
        let branch = succeeded ? success : failure
        for case .put(_, _, let lease?) in branch where !(try target.hasLease(lease)) {
            throw CoveyError.notFound("lease", lease.description)
        }
        var results: [OperationResult] = []
        var events: [StoreEvent] = []
        for operation in branch {
            switch operation {
            case .put(let key, let value, let lease):
                let old = try target.entry(key)
                let entry = StoreEntry(
                    key: key, value: value, createRevision: old?.createRevision ?? revision.next,
                    modRevision: revision.next, version: (old?.version ?? 0) + 1, lease: lease)
                try target.write(entry)
                events.append(.put(entry))
                results.append(.put)
            case .delete(let key):
                let exists = try target.entry(key) != nil
                if exists {
                    try target.delete(key, at: revision.next)
                    events.append(.delete(key))
                }
                results.append(.deleted(exists))
            case .get(let key):
                results.append(.got(try target.entry(key)))
            }
        }
        let after = events.isEmpty ? revision : revision.next
        return (TransactionResult(succeeded: succeeded, revision: after, results: results), events)
    }
}
