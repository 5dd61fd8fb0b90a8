internal import CoveyModel
package import CoveyStore
internal import Synchronization

/// Random calls of many clients on one store, recorded as each client saw them, with a watch beside.
package struct StoreWorkload: Sendable {
    /// How many clients work at once.
    package var clients = 6
    /// How many registers they share.
    package var registers = 4
    /// What begins every key.
    package var prefix: StoreKey = "w/"
    /// How long the watch may take to come to the end.
    package var patience = Duration.seconds(120)
    /// Repeats the choices of the clients, though not their moments.
    package var seed: UInt64

    /// A workload; print its seed where a check fails.
    package init(seed: UInt64 = .random(in: .min ... .max)) { self.seed = seed }

    /// Works until the body returns, then checks what was seen. The store has to serve again by then.
    ///
    /// - Parameter stores: One or several stores on the same keys; clients are spread over them.
    /// - Throws: ``ExpectationFailure`` naming the seed; what the body throws.
    package func run(
        on stores: [any Store], while body: @escaping @Sendable () async throws -> Void
    ) async throws -> WorkloadReport {
        let record = WorkloadRecord()
        let store = try unwrapped(stores.first, "a store")
        let first = try await store.currentRevision().next
        let follower = Task { try await follow(store, from: first, record) }
        defer { follower.cancel() }
        let work = Task {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for client in 0..<clients {
                    group.addTask { try await act(client, stores[client % stores.count], record) }
                }
                try await group.waitForAll()
            }
        }
        do { try await body() } catch {
            work.cancel()
            throw error
        }
        record.stop()
        try await work.value
        do { return try await check(store, record) } catch let error as ExpectationFailure {
            throw ExpectationFailure(description: "seed \(seed): \(error)")
        }
    }

    func key(_ register: Int) -> StoreKey { StoreKey("\(prefix.text)\(register)") }

    private func act(_ client: Int, _ store: any Store, _ record: WorkloadRecord) async throws {
        var random = SeededGenerator(seed: seed &+ UInt64(client) &* 0x9E37_79B9)
        var number = 0
        var known: [Int: String] = [:]
        while !record.isStopped {
            await Task.yield()
            let register = Int.random(in: 0..<registers, using: &random)
            let key = key(register)
            number += 1
            let value = "\(client)-\(number)"
            let start = record.tick()
            func note(_ action: RegisterCall.Action) {
                record.add(
                    RegisterCall(client: client, action: action, start: start, end: record.tick()), to: register)
            }
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<40:
                // What cannot be read tells nothing.
                if let entry = try await record.attempt({ try await store.get(key) }).value {
                    known[register] = entry.map { String(decoding: $0.value, as: UTF8.self) }
                    note(.read(known[register]))
                }
            case 40..<65:
                let write = Transaction(success: [.put(key, Array(value.utf8))])
                let outcome = try await record.attempt { try await store.transact(write) }
                if let result = outcome.value {
                    record.wrote(value, at: result.revision)
                    known[register] = value
                    note(.write(value))
                } else if outcome.mayHaveHappened {
                    note(.unknownWrite(value))
                } else {
                    record.refused(value)
                }
            case 65..<92:
                guard let old = known[register] else { continue }
                let exchange = Transaction(
                    compares: [.value(key, Array(old.utf8))], success: [.put(key, Array(value.utf8))],
                    failure: [.get(key)])
                let outcome = try await record.attempt { try await store.transact(exchange) }
                if let result = outcome.value, result.succeeded {
                    record.wrote(value, at: result.revision)
                    known[register] = value
                    note(.exchange(from: old, to: value))
                } else if let result = outcome.value, case .got(let entry)? = result.results.first {
                    known[register] = entry.map { String(decoding: $0.value, as: UTF8.self) }
                    note(.refuse(from: old, seen: known[register]))
                } else if outcome.mayHaveHappened {
                    note(.unknownExchange(from: old, to: value))
                } else {
                    record.refused(value)
                }
            case _:
                let outcome = try await record.attempt {
                    try await store.transact(Transaction(success: [.delete(key)]))
                }
                if outcome.value != nil {
                    known[register] = nil
                    note(.delete)
                } else if outcome.mayHaveHappened {
                    note(.unknownDelete)
                }
            }
        }
    }

    private func follow(_ store: any Store, from first: Revision, _ record: WorkloadRecord) async throws {
        var next = first
        while true {
            let answers = try await record.persist { try await store.watch(prefix, from: next) }.makeAsyncIterator()
            answering: while true {
                switch try await record.persist({ try await answers.next() }) {
                case .changes(let batch)?:
                    record.saw(batch)
                    next = batch.revision.next
                case .compacted?, nil:
                    let (entries, revision) = try await record.persist { try await store.list(prefix) }
                    record.listed(entries, at: revision)
                    next = revision.next
                    break answering
                }
            }
        }
    }
}

/// What a workload that passed was made of.
package struct WorkloadReport: Hashable, Sendable, CustomStringConvertible {
    /// Calls whose place in an order was checked.
    package var calls = 0
    /// Writes that were acknowledged, each found in the watch.
    package var writes = 0
    /// Writes of unknown outcome.
    package var lost = 0
    /// Calls that surely did not happen.
    package var refused = 0
    /// Transactions that the watch gave.
    package var batches = 0
    /// How often the watch was told to list again.
    package var lists = 0
    /// The store's last revision.
    package var revision = Revision.zero

    /// Nothing yet.
    package init() {}

    /// Adds another one.
    package static func += (left: inout WorkloadReport, right: WorkloadReport) {
        left.calls += right.calls
        left.writes += right.writes
        left.lost += right.lost
        left.refused += right.refused
        left.batches += right.batches
        left.lists += right.lists
        left.revision = max(left.revision, right.revision)
    }

    /// All of it in one line.
    package var description: String {
        "\(calls) calls, \(writes) writes, \(lost) lost answers, \(refused) refused calls, \(batches) batches, "
            + "\(lists) new lists, revision \(revision)"
    }
}

/// What the clients and the watch of a workload saw.
final class WorkloadRecord: Sendable {
    struct State {
        var time = 0
        var isStopped = false
        var calls: [Int: [RegisterCall]] = [:]
        var written: [String: Revision] = [:]
        var refused: Set<String> = []
        var batches: [WatchBatch] = []
        var replay: [StoreKey: StoreEntry] = [:]
        var newest = Revision.zero
        var gaps: [ClosedRange<Int64>] = []
        var disorder: String?
        var lost = 0
        var unanswered = 0
    }

    struct Outcome<T: Sendable>: Sendable {
        var value: T?
        var mayHaveHappened: Bool
    }

    private let state = Mutex(State())

    var now: State { state.withLock { $0 } }
    var isStopped: Bool { state.withLock { $0.isStopped } }
    func stop() { state.withLock { $0.isStopped = true } }

    func tick() -> Int {
        state.withLock { state in
            state.time += 1
            return state.time
        }
    }

    func add(_ call: RegisterCall, to register: Int) { state.withLock { $0.calls[register, default: []].append(call) } }

    func wrote(_ value: String, at revision: Revision) { state.withLock { $0.written[value] = revision } }

    /// The store said that this was surely not written.
    func refused(_ value: String) { _ = state.withLock { $0.refused.insert(value) } }

    func saw(_ batch: WatchBatch) {
        state.withLock { state in
            if batch.revision <= state.newest {
                state.disorder = "the watch gave revision \(batch.revision) after \(state.newest)"
            }
            state.newest = batch.revision
            state.batches.append(batch)
            for event in batch.events {
                switch event {
                case .put(let entry): state.replay[entry.key] = entry
                case .delete(let key): state.replay[key] = nil
                }
            }
        }
    }

    func listed(_ entries: [StoreEntry], at revision: Revision) {
        state.withLock { state in
            state.gaps.append(state.newest.number...max(revision.number, state.newest.number))
            state.newest = max(state.newest, revision)
            state.replay = Dictionary(uniqueKeysWithValues: entries.map { ($0.key, $0) })
        }
    }

    /// A call whose failure belongs to what is tested.
    func attempt<T: Sendable>(_ call: () async throws -> T) async throws -> Outcome<T> {
        do { return Outcome(value: try await call(), mayHaveHappened: true) } catch let error as CoveyError {
            switch error.code {
            case .outcomeUnknown:
                state.withLock { $0.lost += 1 }
                return Outcome(value: nil, mayHaveHappened: true)
            case .unavailable, .exhausted, .deadline:
                state.withLock { $0.unanswered += 1 }
                return Outcome(value: nil, mayHaveHappened: false)
            case _: throw error
            }
        }
    }

    /// Repeats a call until it is answered.
    func persist<T: Sendable>(_ call: () async throws -> T) async throws -> T {
        while true {
            do { return try await call() } catch let error as CoveyError where error.retryable {
                try await Task.sleep(for: .milliseconds(50))
            } catch is CompactedError {
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }
}
