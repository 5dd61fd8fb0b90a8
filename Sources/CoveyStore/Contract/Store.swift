/// Where Covey keeps what is wanted and what was seen: etcd's semantics, no more and no less.
///
/// Errors of all calls: ``ErrorCode/unavailable`` and ``ErrorCode/exhausted`` for a store that cannot answer or write
/// now, ``ErrorCode/corrupt`` for a damaged one, and for writes ``ErrorCode/outcomeUnknown``: it may or may not have
/// happened. Cancelling the caller of a write does not take the write back.
package protocol Store: Sendable {
    /// The newest revision.
    func currentRevision() async throws -> Revision

    /// What stands under a key now; nil for nothing.
    func get(_ key: StoreKey) async throws -> StoreEntry?

    /// The entries whose keys begin with `prefix`, in the order of keys.
    ///
    /// - Parameters:
    ///   - prefix: The beginning of keys; an empty one is all.
    ///   - from: The first key of the page, as in ``RangePage/next``; nil for the first page.
    ///   - limit: At most so many entries, above 0; nil for all.
    ///   - revision: The revision to read, as in ``RangePage/revision``; nil for the newest.
    /// - Throws: ``CompactedError`` for a revision that is gone; ``ErrorCode/invalid`` for one that is not there yet.
    func range(_ prefix: StoreKey, from: StoreKey?, limit: Int?, at revision: Revision?) async throws -> RangePage

    /// Compares and writes, all or nothing. One that changes nothing makes no revision.
    ///
    /// - Throws: ``ErrorCode/invalid`` for what ``Transaction/check()`` refuses; ``ErrorCode/notFound`` for a put with
    ///   a lease that is gone.
    func transact(_ transaction: Transaction) async throws -> TransactionResult

    /// The changes of keys that begin with `prefix`, from a revision on; nil is from now on.
    ///
    /// Only a revision above that of the last ``compact(_:)`` is sure to be answered with changes.
    func watch(_ prefix: StoreKey, from revision: Revision?) async throws -> WatchStream

    /// Grants a lease of at least 1 second.
    func grantLease(seconds: Int) async throws -> Lease

    /// Lets a lease begin anew. Errors: ``ErrorCode/notFound`` when it is gone.
    func keepAlive(_ lease: LeaseID) async throws

    /// Ends a lease and deletes its keys in one transaction. Errors: ``ErrorCode/notFound`` when it is gone.
    func revokeLease(_ lease: LeaseID) async throws

    /// Forgets the history before a revision; one that is forgotten already is no error.
    /// Errors: ``ErrorCode/invalid`` for a revision that is not there yet.
    func compact(_ revision: Revision) async throws

    /// Does the store's own work, such as ending leases, until it is cancelled. Without it leases do not end.
    func run() async throws
}
