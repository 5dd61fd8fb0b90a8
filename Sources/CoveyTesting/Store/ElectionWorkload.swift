internal import CoveyModel
package import CoveyStore
internal import Synchronization

/// Candidates that lead in turn and write as leaders, while leases are taken from them behind their backs; and the check
/// that each write was made by whoever led at its revision.
package struct ElectionWorkload: Sendable {
    /// How many candidates.
    package var candidates = 5
    /// How many leaders are deposed before it ends.
    package var depositions = 10
    /// How many seconds a leader that says nothing is waited for.
    package var seconds = 3
    /// Names the election and its keys, so that one store sees several.
    package var name = "e"
    /// Whether leaders write through their fence. A workload of those that do not has to fail.
    package var isFenced = true
    /// Repeats the choices, though not their moments.
    package var seed: UInt64

    /// A workload; print its seed where a check fails.
    package init(seed: UInt64 = .random(in: .min ... .max)) { self.seed = seed }

    private var key: StoreKey { StoreKey("election/\(name)") }
    private var prefix: String { "t/\(name)/" }

    /// Runs it.
    ///
    /// - Parameters:
    ///   - stores: Candidates are spread over them; the last one watches and deposes, and should lose no answers.
    ///   - beside: Disturbs meanwhile; ends first.
    /// - Returns: Counts, for people.
    /// - Throws: ``ExpectationFailure`` naming the seed; what the stores throw beyond what passes.
    package func run(
        on stores: [any Store], beside: @escaping @Sendable () async throws -> Void = {}
    ) async throws -> String {
        let judge = try unwrapped(stores.last, "a store")
        let first = try await judge.currentRevision().next
        let lost = Tally()
        let work = Task {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<candidates {
                    let store = stores[index % stores.count]
                    group.addTask { try await compete(index, store) { lost.add() } }
                }
                try await group.waitForAll()
            }
        }
        defer { work.cancel() }
        let report: String
        do {
            try await beside()
            report = try await observe(judge, from: first)
        } catch let error as ExpectationFailure {
            throw ExpectationFailure(description: "seed \(seed): \(error)")
        }
        work.cancel()
        do { try await work.value } catch is CancellationError {}
        return "\(report), \(lost.count) leaders told that they are none"
    }

    private func compete(_ index: Int, _ store: any Store, _ deposed: @escaping @Sendable () -> Void) async throws {
        let election = Election(store: store, name: name, candidate: "c\(index)", seconds: seconds)
        while true {
            do {
                try await election.lead { leadership in
                    var count = 0
                    while true {
                        try Task.checkCancellation()
                        count += 1
                        let write = Transaction(
                            success: [
                                .put(
                                    StoreKey("\(prefix)\(count % 4)"), Array("\(leadership.term) c\(index)".utf8))
                            ])
                        do {
                            if isFenced {
                                _ = try await leadership.transact(write)
                            } else {
                                _ = try await store.transact(write)
                            }
                        } catch let error as CoveyError where error.retryable || error.code == .outcomeUnknown {
                            // It may have happened; the watch tells.
                        }
                        // A store in memory answers without a pause, and the judge needs a thread.
                        await Task.yield()
                    }
                }
            } catch let error as CoveyError where error.code == .conflict {
                deposed()
            } catch let error as CoveyError where error.retryable || error.code == .outcomeUnknown {
                await Task.yield()
            }
        }
    }

    /// Replays what happened; deposes each leader after some of its writes.
    private func observe(_ store: any Store, from first: Revision) async throws -> String {
        var random = SeededGenerator(seed: seed)
        var leader: StoreEntry?
        var patience = 0
        var terms: Set<Revision> = []
        var (writes, deposed) = (0, 0)
        let answers = try await store.watch("", from: first).makeAsyncIterator()
        while deposed < depositions {
            let answer: WatchAnswer?
            do { answer = try await answers.next() } catch let error as CoveyError where error.retryable { continue }
            guard case .changes(let batch)? = answer else {
                throw ExpectationFailure(description: "the judge's watch ended: \(String(describing: answer))")
            }
            for event in batch.events {
                switch event {
                case .put(let entry) where entry.key == key:
                    try expect(leader == nil, "\(entry) follows \(String(describing: leader)), which is still there")
                    leader = entry
                    terms.insert(entry.createRevision)
                    patience = Int.random(in: 3..<30, using: &random)
                case .delete(let gone) where gone == key: leader = nil
                case .put(let entry) where entry.key.hasPrefix(StoreKey(prefix)):
                    let text = String(decoding: entry.value, as: UTF8.self)
                    let term = text.split(separator: " ").first.flatMap { Int64($0) }
                    try expect(
                        term == leader?.createRevision.number,
                        "\(text) was written at \(batch.revision), when \(String(describing: leader)) led")
                    writes += 1
                    patience -= 1
                case .put, .delete: break
                }
            }
            if patience <= 0, let lease = leader?.lease {
                // Behind its back: it goes on believing until it writes or renews.
                do {
                    try await store.revokeLease(lease)
                    deposed += 1
                } catch let error as CoveyError
                    where error.retryable || error.code == .notFound || error.code == .outcomeUnknown
                {
                    // It has ended by itself, or the store is busy with itself.
                }
                patience = .max
            }
        }
        return "\(terms.count) terms, \(writes) writes"
    }
}

/// Counts from many tasks.
final class Tally: Sendable {
    private let number = Mutex(0)

    var count: Int { number.withLock { $0 } }
    func add() { number.withLock { $0 += 1 } }
}
