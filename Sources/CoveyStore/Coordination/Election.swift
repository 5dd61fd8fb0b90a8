internal import CoveyModel

/// A leader, as long as the store agrees.
package struct Leadership: Sendable {
    /// What each of its writes compares.
    package let fence: Fence
    private let store: any Store

    init(fence: Fence, store: any Store) {
        self.fence = fence
        self.store = store
    }

    /// The revision of its election: later leaders have larger ones.
    package var term: Revision { fence.revision }

    /// A write of the leader. Errors: ``Fence/deposed`` for one that is none any more; what the store throws.
    package func transact(_ transaction: Transaction) async throws -> TransactionResult {
        try await fence.transact(transaction, on: store)
    }
}

/// An election of one leader among many candidates.
///
/// There may be two who believe that they lead: one was deposed and has not heard of it. What makes that harmless is that
/// all writes go through ``Leadership/transact(_:)``; leases and clocks only say when to try.
package struct Election: Sendable {
    private let store: any Store
    private let key: StoreKey
    private let candidate: String
    private let seconds: Int
    private let clock: StoreClock

    /// An election.
    ///
    /// - Parameters:
    ///   - store: Where it takes place.
    ///   - name: What it is about.
    ///   - candidate: Unique among the candidates; people see it in the key.
    ///   - seconds: How long a leader that says nothing is waited for.
    ///   - clock: What renewals go by.
    package init(
        store: any Store, name: String, candidate: String, seconds: Int = 15, clock: StoreClock = StoreClock()
    ) {
        self.store = store
        key = KeySpace.election(name)
        self.candidate = candidate
        self.seconds = seconds
        self.clock = clock
    }

    /// Waits until this candidate leads, and works as leader until the body returns or the leadership is lost; then the
    /// body is cancelled and awaited before this returns.
    ///
    /// - Throws: ``Fence/deposed`` where the leadership was lost; what the body throws; what the store throws
    ///   beyond what passes.
    package func lead<T: Sendable>(
        _ body: @escaping @Sendable (Leadership) async throws -> T
    ) async throws -> T {
        let tenure = try await campaign()
        let leadership = Leadership(fence: tenure.fence, store: store)
        do {
            let result = try await tenure.run { try await body(leadership) }
            try await tenure.end()
            return result
        } catch {
            try await tenure.end()
            throw error
        }
    }

    /// Who leads now; nil for nobody.
    package func leader() async throws -> (candidate: String, term: Revision)? {
        guard let entry = try await store.get(key) else { return nil }
        let name = String(decoding: entry.value, as: UTF8.self)
        return (String(name.split(separator: " ").first ?? ""), entry.createRevision)
    }

    private func campaign() async throws -> Tenure {
        while true {
            do {
                let sent = clock.elapsed()
                let lease = try await store.grantLease(seconds: seconds)
                let standing = Standing(store: store, key: key, note: note(lease), lease: lease, sent: sent)
                if let tenure = try await stand(standing) { return tenure }
            } catch let error as CoveyError where error.retryable || error.code == .outcomeUnknown {
                try await clock.sleep(clock.elapsed() + .milliseconds(200))
            }
        }
    }

    private struct Standing {
        var store: any Store
        var key: StoreKey
        var note: [UInt8]
        var lease: Lease
        var sent: Duration
    }

    /// The lease makes it unique to this attempt.
    private func note(_ lease: Lease) -> [UInt8] { Array("\(candidate) \(lease.id)".utf8) }

    /// Tries for the key, and waits for its end where another one has it; nil where all begins anew.
    private func stand(_ standing: Standing) async throws -> Tenure? {
        let attempt = Transaction(
            compares: [.absent(key)], success: [.put(key, standing.note, lease: standing.lease.id)],
            failure: [.get(key)])
        var revision = Revision.zero
        do {
            let result = try await store.transact(attempt)
            revision = result.revision
            if result.succeeded { return tenure(standing, revision) }
            if case .got(let entry?)? = result.results.first, entry.value == standing.note {
                return tenure(standing, entry.createRevision)
            }
        } catch let error as CoveyError where error.code == .notFound {
            // The lease has ended.
            return nil
        } catch let error as CoveyError where error.code == .outcomeUnknown {
            return try await resolve(standing)
        }
        try await Tenure(
            store: store, lease: standing.lease, sent: standing.sent, clock: clock,
            fence: Fence(key: key, revision: revision)
        ).end()
        try await store.changed(
            key, after: revision, until: clock.elapsed() + .seconds(seconds), clock: clock)
        return nil
    }

    /// Looks what became of an attempt.
    private func resolve(_ standing: Standing) async throws -> Tenure? {
        if let entry = try await store.get(key), entry.value == standing.note {
            return tenure(standing, entry.createRevision)
        }
        // It may come yet: without its lease it cannot.
        do { try await store.revokeLease(standing.lease.id) } catch let error as CoveyError
            where error.code == .notFound
        {}
        return nil
    }

    private func tenure(_ standing: Standing, _ revision: Revision) -> Tenure {
        Tenure(
            store: store, lease: standing.lease, sent: standing.sent, clock: clock,
            fence: Fence(key: key, revision: revision))
    }
}
