internal import CoveyModel

/// Keeps a lease alive beside the work that is done under it.
struct Tenure: Sendable {
    let store: any Store
    let lease: Lease
    /// When the request was sent that began the lease's time.
    let sent: Duration
    let clock: StoreClock
    let fence: Fence

    /// Runs `body` as long as the lease surely lives: two thirds of its time after the last renewal that succeeded,
    /// counted from when it was sent. Then the body is cancelled, and awaited.
    ///
    /// - Throws: ``Fence/deposed`` where the lease could not be kept; what the body throws.
    func run<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
        try await withThrowingTaskGroup(of: T?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await renew()
                return nil
            }
            defer { group.cancelAll() }
            while let ended = try await group.next() {
                if let result = ended { return result }
            }
            throw CancellationError()
        }
    }

    /// Renews until that fails for good.
    private func renew() async throws {
        let time = Duration.seconds(lease.seconds)
        var last = sent
        var next = sent + time / 3
        while true {
            try await clock.sleep(min(next, last + time * 2 / 3))
            let now = clock.elapsed()
            guard now < last + time * 2 / 3 else { throw fence.deposed }
            do {
                try await store.keepAlive(lease.id)
                last = now
                next = now + time / 3
            } catch let error as CoveyError where error.code == .notFound {
                throw fence.deposed
            } catch let error as CoveyError where error.retryable {
                next = clock.elapsed() + time / 12
            }
        }
    }

    /// Gives the key back at once instead of at the lease's end.
    func end() async throws {
        do { try await store.revokeLease(lease.id) } catch let error as CoveyError
            where error.code == .notFound || error.retryable
        {
            // It has ended, or ends by itself.
        }
    }
}

extension Store {
    /// Waits until something under a prefix changes after a revision, or until a time; a compaction counts as a change.
    func changed(_ prefix: StoreKey, after revision: Revision, until time: Duration, clock: StoreClock) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                // Old servers may lose an event, so nobody waits for one forever.
                try await clock.sleep(time)
            }
            group.addTask { _ = try await watch(prefix, from: revision.next).makeAsyncIterator().next() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}
