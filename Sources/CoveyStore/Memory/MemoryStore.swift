internal import CoveyModel
internal import Synchronization

/// A store in memory, for tests and the simulator, whose faults can be chosen.
package final class MemoryStore: Store {
    /// A fault of one call.
    package enum Fault: Hashable, Sendable {
        /// Nothing happens, and the caller is told so.
        case unavailable
        /// A write does not happen; the caller is not told which.
        case unknownBefore
        /// A write happens; the caller is not told which.
        case unknownAfter
    }

    /// A call, as the chooser of faults sees it.
    package enum Call: Hashable, Sendable {
        /// A get, a range, or a transaction that cannot write.
        case read
        /// A transaction that can write.
        case write(Transaction)
        /// The next answer of a watch, or its beginning.
        case watch
        /// A change of leases or a compaction.
        case upkeep
    }

    private struct State {
        var history: MemoryHistory
        var leaseCount: Int64 = 0
        var fault: @Sendable (Call) -> Fault? = { _ in nil }
    }

    private let state: Mutex<State>
    private let clock: StoreClock
    private let signal = RevisionSignal(Revision(1))
    private let grants = RevisionSignal(.zero)

    /// An empty store.
    ///
    /// - Parameters:
    ///   - incarnation: The id of its lineage.
    ///   - clock: What leases go by.
    ///   - historyLimit: Events kept for watchers; beyond it the older half is compacted.
    package init(
        incarnation: String = "memory", clock: StoreClock = StoreClock(), historyLimit: Int = 100_000
    ) {
        state = Mutex(State(history: MemoryHistory(incarnation: incarnation, limit: historyLimit)))
        self.clock = clock
    }

    /// Chooses the faults of the calls from now on; it is called under the store's lock.
    package func setFaults(_ choose: @escaping @Sendable (Call) -> Fault?) {
        state.withLock { $0.fault = choose }
    }

    package func currentRevision() async throws -> Revision { try read { $0.revision } }

    package func get(_ key: StoreKey) async throws -> StoreEntry? { try read { $0.entry(key) } }

    package func range(
        _ prefix: StoreKey, from: StoreKey?, limit: Int?, at revision: Revision?
    ) async throws -> RangePage {
        try checkLimit(limit)
        return try read { history in
            let wanted = try checkReadable(revision, newest: history.revision, compacted: history.compacted)
            return history.range(prefix, from: from, limit: limit, at: wanted)
        }
    }

    package func transact(_ transaction: Transaction) async throws -> TransactionResult {
        try transaction.check()
        let call = transaction.isReadOnly ? Call.read : .write(transaction)
        return try change(call) { try $0.history.transact(transaction) }
    }

    package func watch(_ prefix: StoreKey, from revision: Revision?) async throws -> WatchStream {
        let first = try state.withLock { state in
            try fail(state.fault(.watch))
            return revision ?? state.history.revision.next
        }
        return WatchStream(from: first) { [self] from in try await answer(prefix, from: from) }
    }

    private func answer(_ prefix: StoreKey, from: Revision) async throws -> WatchStep {
        var position = from
        while true {
            let (step, seen) = try state.withLock { state -> (WatchStep?, Revision) in
                try fail(state.fault(.watch))
                let newest = state.history.revision
                if position <= state.history.compacted {
                    return (.compacted(state.history.compacted), newest)
                }
                return (state.history.changes(prefix, from: position).map { .changes([$0]) }, newest)
            }
            if let step { return step }
            position = max(position, seen.next)
            try await signal.wait(for: position)
        }
    }

    package func grantLease(seconds: Int) async throws -> Lease {
        try checkLease(seconds: seconds)
        let now = clock.elapsed()
        let lease = try change(.upkeep) { state in
            state.leaseCount += 1
            let lease = Lease(id: LeaseID(state.leaseCount), seconds: seconds)
            state.history.leases.add(lease, now: now)
            return lease
        }
        grants.advance(to: Revision(lease.id.number))
        return lease
    }

    package func keepAlive(_ lease: LeaseID) async throws {
        let now = clock.elapsed()
        let there = try change(.upkeep) { $0.history.leases.keepAlive(lease, now: now) }
        if !there { throw CoveyError.notFound("lease", lease.description) }
    }

    package func revokeLease(_ lease: LeaseID) async throws {
        try change(.upkeep) { state in
            guard state.history.leases.contains(lease) else {
                throw CoveyError.notFound("lease", lease.description)
            }
            state.history.end(lease)
        }
    }

    package func compact(_ revision: Revision) async throws {
        try change(.upkeep) { state in
            try checkNotAhead(revision, newest: state.history.revision)
            state.history.compact(revision)
        }
        // Whoever waits from before it has to see that.
        signal.advance(to: revision)
    }

    package func run() async throws {
        let runner = LeaseRunner(clock: clock, grants: grants) { [self] in
            state.withLock { $0.history.leases.nextDeadline }
        } expire: { [self] in
            let now = clock.elapsed()
            try change(.upkeep) { state in
                for lease in state.history.leases.due(now: now) { state.history.end(lease) }
            }
        }
        try await runner.run()
    }

    private func read<T: Sendable>(_ body: (MemoryHistory) throws -> T) throws -> T {
        try state.withLock { state in
            try fail(state.fault(.read))
            return try body(state.history)
        }
    }

    private func change<T: Sendable>(_ call: Call, _ body: (inout State) throws -> T) throws -> T {
        let (result, revision) = try state.withLock { state -> (Result<T, any Error>, Revision) in
            let fault = state.fault(call)
            if fault != .unknownAfter { try fail(fault) }
            let result = Result { try body(&state) }
            if fault == .unknownAfter {
                return (.failure(MemoryStore.outcomeUnknown), state.history.revision)
            }
            return (result, state.history.revision)
        }
        signal.advance(to: revision)
        return try result.get()
    }

    private func fail(_ fault: Fault?) throws {
        switch fault {
        case nil: return
        case .unavailable?: throw CoveyError(.unavailable, "the store is not reachable")
        case .unknownBefore?, .unknownAfter?: throw MemoryStore.outcomeUnknown
        }
    }

    private static var outcomeUnknown: CoveyError {
        CoveyError(.outcomeUnknown, "the store did not say whether it wrote")
    }
}
