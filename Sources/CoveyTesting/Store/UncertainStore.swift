internal import CoveyModel
package import CoveyStore
internal import Synchronization

/// A store that loses the answers of some writes, and some writes, beyond what the one below it does.
package final class UncertainStore: Store {
    private let inner: any Store
    private let random: Mutex<SeededGenerator>
    private let perCent: Int

    /// Over a store.
    ///
    /// - Parameters:
    ///   - inner: What answers.
    ///   - seed: Repeats the choices.
    ///   - perCent: So many of a hundred writes are of unknown outcome; half of these happen.
    package init(_ inner: any Store, seed: UInt64, perCent: Int = 20) {
        self.inner = inner
        random = Mutex(SeededGenerator(seed: seed))
        self.perCent = perCent
    }

    private func write<T: Sendable>(_ body: () async throws -> T) async throws -> T {
        let (isLost, happens) = random.withLock { random in
            (Int.random(in: 0..<100, using: &random) < perCent, Bool.random(using: &random))
        }
        let lost = CoveyError(.outcomeUnknown, "the answer was lost on purpose")
        if isLost && !happens { throw lost }
        let result = try await body()
        if isLost { throw lost }
        return result
    }

    package func currentRevision() async throws -> Revision { try await inner.currentRevision() }

    package func get(_ key: StoreKey) async throws -> StoreEntry? { try await inner.get(key) }

    package func range(
        _ prefix: StoreKey, from: StoreKey?, limit: Int?, at revision: Revision?
    ) async throws -> RangePage { try await inner.range(prefix, from: from, limit: limit, at: revision) }

    package func transact(_ transaction: Transaction) async throws -> TransactionResult {
        if transaction.isReadOnly { return try await inner.transact(transaction) }
        return try await write { try await inner.transact(transaction) }
    }

    package func watch(_ prefix: StoreKey, from revision: Revision?) async throws -> WatchStream {
        try await inner.watch(prefix, from: revision)
    }

    package func grantLease(seconds: Int) async throws -> Lease {
        try await write { try await inner.grantLease(seconds: seconds) }
    }

    package func keepAlive(_ lease: LeaseID) async throws { try await inner.keepAlive(lease) }

    package func revokeLease(_ lease: LeaseID) async throws {
        try await write { try await inner.revokeLease(lease) }
    }

    package func compact(_ revision: Revision) async throws { try await inner.compact(revision) }

    package func run() async throws { try await inner.run() }
}
