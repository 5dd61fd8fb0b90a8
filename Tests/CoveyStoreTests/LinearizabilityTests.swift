internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Synchronization
internal import Testing

@Suite("Histories", .timeLimit(.minutes(2)))
struct LinearizabilityTests {
    typealias Action = RegisterCall.Action

    private func calls(_ calls: [(Action, Int, Int)]) -> [RegisterCall] {
        calls.enumerated().map { RegisterCall(client: $0, action: $1.0, start: $1.1, end: $1.2) }
    }

    @Test(
        "histories that have an order are taken",
        arguments: [
            [(Action.read(nil), 1, 2), (.write("a"), 3, 4), (.read("a"), 5, 6)],
            // Two writes at once, read in either order.
            [(.write("a"), 1, 10), (.write("b"), 1, 10), (.read("b"), 2, 3), (.read("a"), 4, 5)],
            // A read that overlaps a write sees it or not.
            [(.write("a"), 1, 10), (.read(nil), 2, 3), (.read("a"), 4, 5)],
            [(.write("a"), 1, 2), (.exchange(from: "a", to: "b"), 3, 4), (.refuse(from: "a", seen: "b"), 5, 6)],
            [(.write("a"), 1, 2), (.delete, 3, 4), (.read(nil), 5, 6)],
            // Lost answers: it happened late, or never.
            [(.write("a"), 1, 2), (.unknownWrite("b"), 3, 4), (.read("a"), 5, 6), (.read("b"), 7, 8)],
            [(.write("a"), 1, 2), (.unknownWrite("b"), 3, 4), (.read("a"), 5, 6)],
            [(.write("a"), 1, 2), (.unknownDelete, 3, 4), (.read("a"), 5, 6), (.read(nil), 7, 8)],
            [(.write("a"), 1, 2), (.unknownExchange(from: "a", to: "b"), 3, 4), (.read("a"), 5, 6)],
            [(.write("a"), 1, 2), (.unknownExchange(from: "a", to: "b"), 3, 4), (.read("b"), 5, 6)],
        ])
    func orderly(history: [(Action, Int, Int)]) {
        #expect(linearizabilityViolation(in: calls(history)) == nil)
    }

    @Test(
        "histories that have none are refused",
        arguments: [
            // A stale read.
            [(Action.write("a"), 1, 2), (.write("b"), 3, 4), (.read("a"), 5, 6)],
            // A lost update.
            [
                (.write("a"), 1, 2), (.exchange(from: "a", to: "b"), 3, 4), (.exchange(from: "a", to: "c"), 5, 6),
            ],
            // A read that goes back.
            [(.write("a"), 1, 2), (.write("b"), 3, 20), (.read("b"), 4, 5), (.read("a"), 6, 7)],
            // What was never written.
            [(.read("a"), 1, 2)],
            // A refusal with what was wanted.
            [(.write("a"), 1, 2), (.refuse(from: "a", seen: "a"), 3, 4)],
            // A lost write that happened twice: it cannot come back.
            [
                (.unknownWrite("a"), 1, 2), (.read("a"), 3, 4), (.write("b"), 5, 6), (.read("b"), 7, 8),
                (.read("a"), 9, 10),
            ],
            // A lost write cannot be seen before it was sent.
            [(.read("a"), 1, 2), (.unknownWrite("a"), 3, 4)],
            [(.write("a"), 1, 2), (.delete, 3, 4), (.read("a"), 5, 6)],
        ])
    func disorderly(history: [(Action, Int, Int)]) {
        #expect(linearizabilityViolation(in: calls(history)) != nil)
    }

    @Test("a store whose answers get lost passes the workload", arguments: 0..<5)
    func passes(round: Int) async throws {
        let store = MemoryStore()
        let random = Mutex(SeededGenerator(seed: UInt64(round)))
        store.setFaults { call in
            guard case .write = call else { return nil }
            return switch random.withLock({ Int.random(in: 0..<40, using: &$0) }) {
            case 0: .unknownBefore
            case 1: .unknownAfter
            case 2: .unavailable
            case _: nil
            }
        }
        let report = try await StoreWorkload(seed: UInt64(round)).run(on: [store]) {
            while try await store.currentRevision().number < 1500 { try await Task.sleep(for: .milliseconds(1)) }
            store.setFaults { _ in nil }
        }
        #expect(report.lost > 0)
    }

    @Test("the workload finds a store with a fault", arguments: FaultyStore.Fault.allCases)
    func findsFaults(fault: FaultyStore.Fault) async throws {
        var workload = StoreWorkload(seed: 7)
        workload.patience = .seconds(1)
        let store = FaultyStore(fault)
        let failure = await #expect(throws: ExpectationFailure.self) {
            try await workload.run(on: [store]) {
                while try await store.currentRevision().number < 3000 { try await Task.sleep(for: .milliseconds(1)) }
            }
        }
        #expect(failure?.description.contains("seed 7") == true)
    }
}

/// A store with a fault put in on purpose.
final class FaultyStore: Store {
    enum Fault: CaseIterable {
        /// A change now and then is not told to watchers.
        case lostEvent
        /// A change now and then is told twice.
        case doubledEvent
        /// A write whose answer is lost is sent again.
        case repeatedWrite
        /// A compare now and then is left out.
        case missingCompare
        /// A read now and then gives what was there before.
        case staleRead
    }

    private let inner = MemoryStore()
    private let fault: Fault
    private let count = Mutex(0)
    private let stale = Mutex<[StoreKey: StoreEntry]>([:])

    init(_ fault: Fault) { self.fault = fault }

    private func isDue(_ wanted: Fault, every interval: Int = 50) -> Bool {
        guard wanted == fault else { return false }
        return count.withLock { count in
            count += 1
            return count % interval == 0
        }
    }

    func currentRevision() async throws -> Revision { try await inner.currentRevision() }

    func get(_ key: StoreKey) async throws -> StoreEntry? {
        let now = try await inner.get(key)
        if isDue(.staleRead), let old = stale.withLock({ $0[key] }) { return old }
        if let now, fault == .staleRead { stale.withLock { $0[key] = $0[key] ?? now } }
        return now
    }

    func range(_ prefix: StoreKey, from: StoreKey?, limit: Int?, at revision: Revision?) async throws -> RangePage {
        try await inner.range(prefix, from: from, limit: limit, at: revision)
    }

    func transact(_ transaction: Transaction) async throws -> TransactionResult {
        var transaction = transaction
        if !transaction.compares.isEmpty, isDue(.missingCompare, every: 5) { transaction.compares = [] }
        let result = try await inner.transact(transaction)
        if transaction.compares.isEmpty, isDue(.repeatedWrite) { return try await inner.transact(transaction) }
        return result
    }

    func watch(_ prefix: StoreKey, from revision: Revision?) async throws -> WatchStream {
        let answers = try await inner.watch(prefix, from: revision).makeAsyncIterator()
        let again = Mutex<WatchAnswer?>(nil)
        return WatchStream { [self] in
            if let answer = again.withLock({ $0.take() }) { return answer }
            var answer = try await answers.next()
            if isDue(.lostEvent, every: 500) { answer = try await answers.next() }
            if isDue(.doubledEvent) { again.withLock { $0 = answer } }
            return answer
        }
    }

    func grantLease(seconds: Int) async throws -> Lease { try await inner.grantLease(seconds: seconds) }
    func keepAlive(_ lease: LeaseID) async throws { try await inner.keepAlive(lease) }
    func revokeLease(_ lease: LeaseID) async throws { try await inner.revokeLease(lease) }
    func compact(_ revision: Revision) async throws { try await inner.compact(revision) }
    func run() async throws { try await inner.run() }
}
