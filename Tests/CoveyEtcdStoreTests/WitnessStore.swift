internal import CoveyModel
internal import CoveyStore
internal import Synchronization

/// A store that remembers whether it had to tell its caller of a fault: that it cannot answer now, or does not know.
final class WitnessStore: Store {
    private let inner: any Store
    private let told = Mutex<CoveyError?>(nil)

    /// Beside a store.
    init(_ inner: any Store) { self.inner = inner }

    /// The last fault that was told; nil for none.
    var fault: CoveyError? { told.withLock { $0 } }

    private func witnessed<T: Sendable>(_ body: () async throws -> T) async throws -> T {
        do { return try await body() } catch let error as CoveyError {
            if error.code == .unavailable || error.code == .outcomeUnknown { told.withLock { $0 = error } }
            throw error
        }
    }

    func currentRevision() async throws -> Revision { try await witnessed { try await inner.currentRevision() } }
    func get(_ key: StoreKey) async throws -> StoreEntry? { try await witnessed { try await inner.get(key) } }

    func range(
        _ prefix: StoreKey, from: StoreKey?, limit: Int?, at revision: Revision?
    ) async throws -> RangePage {
        try await witnessed { try await inner.range(prefix, from: from, limit: limit, at: revision) }
    }

    func transact(_ transaction: Transaction) async throws -> TransactionResult {
        try await witnessed { try await inner.transact(transaction) }
    }

    func watch(_ prefix: StoreKey, from revision: Revision?) async throws -> WatchStream {
        let answers = try await witnessed { try await inner.watch(prefix, from: revision) }.makeAsyncIterator()
        return WatchStream { [self] in try await witnessed { try await answers.next() } }
    }

    func grantLease(seconds: Int) async throws -> Lease {
        try await witnessed { try await inner.grantLease(seconds: seconds) }
    }

    func keepAlive(_ lease: LeaseID) async throws { try await witnessed { try await inner.keepAlive(lease) } }
    func revokeLease(_ lease: LeaseID) async throws { try await witnessed { try await inner.revokeLease(lease) } }
    func compact(_ revision: Revision) async throws { try await witnessed { try await inner.compact(revision) } }
    func run() async throws { try await inner.run() }
}
