internal import CoveyModel

/// A piece of work that this taker has, as long as the store agrees.
package struct Claim: Sendable {
    /// The id it was offered under.
    package let id: String
    /// What it says.
    package let payload: [UInt8]
    /// What each write of its taker compares.
    package let fence: Fence
    private let store: any Store

    init(id: String, payload: [UInt8], fence: Fence, store: any Store) {
        self.id = id
        self.payload = payload
        self.fence = fence
        self.store = store
    }

    /// A write of the taker. Errors: ``Fence/deposed`` where another one may have the work; what the store throws.
    package func transact(_ transaction: Transaction) async throws -> TransactionResult {
        try await fence.transact(transaction, on: store)
    }
}

/// Work that waits for exactly one taker.
///
/// A claim is a key that must be absent, with a lease: one whose taker says nothing is offered again. Finishing deletes the
/// work and its claim and leaves a mark, all or nothing and only under the claim's fence, so that in the store's eyes work
/// is finished once. What a taker does beyond the store may happen again; its fence's revision orders the attempts.
package struct WorkQueue: Sendable {
    private let store: any Store
    private let name: String
    private let taker: String
    private let seconds: Int
    private let clock: StoreClock
    private let choose: @Sendable (Int) -> Int

    /// A queue as one taker sees it.
    ///
    /// - Parameters:
    ///   - store: Where it lies.
    ///   - name: Its name.
    ///   - taker: Unique among the takers.
    ///   - seconds: How long a taker that says nothing is waited for.
    ///   - clock: What renewals go by.
    ///   - choose: Picks one of so many, so that takers do not all try the same.
    package init(
        store: any Store, name: String, taker: String, seconds: Int = 15, clock: StoreClock = StoreClock(),
        choose: @escaping @Sendable (Int) -> Int = { Int.random(in: 0..<$0) }
    ) {
        self.store = store
        self.name = name
        self.taker = taker
        self.seconds = seconds
        self.clock = clock
        self.choose = choose
    }

    private var open: StoreKey { KeySpace.openWork(name) }
    private func item(_ id: String) -> StoreKey { KeySpace.work(name, id) }
    private func done(_ id: String) -> StoreKey { KeySpace.finishedWork(name, id) }

    /// Offers work under an id; what was offered or finished under it already stays as it is.
    /// Errors: ``ErrorCode/invalid`` for an id that is empty or has a `/`.
    package func offer(_ id: String, _ payload: [UInt8]) async throws {
        guard !id.isEmpty, !id.utf8.contains(UInt8(ascii: "/")) else {
            throw CoveyError(.invalid, "work cannot be offered under \"\(id)\"")
        }
        let put = Transaction(
            compares: [.absent(item(id)), .absent(done(id))], success: [.put(item(id), payload)])
        // A repeat finds the first one's key.
        try await settled { _ = try await store.transact(put) }
    }

    /// What finished work left; nil for work that is not finished.
    package func result(_ id: String) async throws -> [UInt8]? {
        guard let entry = try await store.get(done(id)) else { return nil }
        return Array(entry.value.drop { $0 != UInt8(ascii: "\n") }.dropFirst())
    }

    /// Forgets that work was finished; from then on its id may be offered again. Idempotent.
    package func forget(_ id: String) async throws {
        try await settled { _ = try await store.transact(Transaction(success: [.delete(done(id))])) }
    }

    /// Waits for work, does it while the claim is kept alive, and finishes it with what the body returns.
    ///
    /// - Throws: ``Fence/deposed`` where the claim was lost: another one has the work, or will. What the body throws;
    ///   the work is offered again then.
    /// - Returns: The work's id.
    @discardableResult
    package func perform(_ body: @escaping @Sendable (Claim) async throws -> [UInt8]) async throws -> String {
        let (claim, tenure) = try await take()
        do {
            try await tenure.run { try await finish(claim, try await body(claim)) }
            try await tenure.end()
            return claim.id
        } catch {
            // Gives the work back; what is finished has no key left that could go.
            try await tenure.end()
            throw error
        }
    }

    private func take() async throws -> (Claim, Tenure) {
        while true {
            do {
                let (free, revision) = try await free()
                if free.isEmpty {
                    try await store.changed(
                        open, after: revision, until: clock.elapsed() + .seconds(seconds), clock: clock)
                } else if let taken = try await take(free[choose(free.count)]) {
                    return taken
                }
            } catch let error as CoveyError where error.retryable || error.code == .outcomeUnknown {
                try await clock.sleep(clock.elapsed() + .milliseconds(200))
            }
        }
    }

    /// The work that nobody has, and the revision that this was true at.
    private func free() async throws -> (entries: [StoreEntry], revision: Revision) {
        let (all, revision) = try await store.list(open)
        let claims = KeySpace.claims(name)
        let claimed = Set(all.filter { $0.key.hasPrefix(claims) }.map { KeySpace.last($0.key) })
        return (all.filter { !$0.key.hasPrefix(claims) && !claimed.contains(KeySpace.last($0.key)) }, revision)
    }

    private func take(_ entry: StoreEntry) async throws -> (Claim, Tenure)? {
        let id = KeySpace.last(entry.key)
        let key = KeySpace.claim(name, id)
        let sent = clock.elapsed()
        let lease = try await store.grantLease(seconds: seconds)
        func claimed(_ revision: Revision) -> (Claim, Tenure) {
            let fence = Fence(key: key, revision: revision)
            return (
                Claim(id: id, payload: entry.value, fence: fence, store: store),
                Tenure(store: store, lease: lease, sent: sent, clock: clock, fence: fence)
            )
        }
        let note = Array("\(taker) \(lease.id)".utf8)
        let attempt = Transaction(
            compares: [.absent(key), .createRevision(entry.key, entry.createRevision)],
            success: [.put(key, note, lease: lease.id)])
        do {
            let result = try await store.transact(attempt)
            if result.succeeded { return claimed(result.revision) }
        } catch let error as CoveyError where error.code == .notFound {
            // The lease has ended.
            return nil
        } catch let error as CoveyError where error.code == .outcomeUnknown {
            if let mine = try await store.get(key), mine.value == note { return claimed(mine.createRevision) }
        }
        // Also where the attempt may come yet: without its lease it cannot.
        try await claimed(.zero).1.end()
        return nil
    }

    private func finish(_ claim: Claim, _ result: [UInt8]) async throws {
        let mark = Array("\(taker) \(claim.fence.revision)\n".utf8) + result
        let finish = Transaction(
            success: [.put(done(claim.id), mark), .delete(item(claim.id)), .delete(claim.fence.key)])
        try await settled {
            do { _ = try await claim.transact(finish) } catch let error as CoveyError
                where error.code == .conflict
            {
                // An attempt whose answer was lost may have finished it.
                guard try await store.get(done(claim.id))?.value == mark else { throw error }
            }
        }
    }

    /// Repeats what may be repeated until the store answers, up to a lease's time.
    private func settled(_ attempt: () async throws -> Void) async throws {
        let end = clock.elapsed() + .seconds(seconds)
        while true {
            do { return try await attempt() } catch let error as CoveyError
                where (error.retryable || error.code == .outcomeUnknown) && clock.elapsed() < end
            {
                try await clock.sleep(clock.elapsed() + .milliseconds(50))
            }
        }
    }
}
