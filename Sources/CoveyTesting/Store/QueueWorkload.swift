internal import CoveyModel
package import CoveyStore
internal import Synchronization

/// Takers that share work, some of which die over it; and the check that all of it is finished, each piece once, by
/// somebody who had the claim at that revision.
package struct QueueWorkload: Sendable {
    /// How many takers.
    package var takers = 5
    /// How many pieces of work.
    package var pieces = 40
    /// So many of a hundred takers give up over a piece, without a word to the store.
    package var deaths = 15
    /// How many seconds a taker that says nothing is waited for.
    package var seconds = 3
    /// Names the queue, so that one store sees several.
    package var name = "q"
    /// Repeats the choices, though not their moments.
    package var seed: UInt64

    /// A workload; print its seed where a check fails.
    package init(seed: UInt64 = .random(in: .min ... .max)) { self.seed = seed }

    private struct Death: Error {}

    private var prefix: StoreKey { StoreKey("queue/\(name)/") }

    /// Runs it until all work is finished.
    ///
    /// - Parameters:
    ///   - stores: Takers are spread over them; the last one judges, and should lose no answers.
    ///   - beside: Disturbs meanwhile.
    /// - Returns: Counts, for people.
    /// - Throws: ``ExpectationFailure`` naming the seed; what the stores throw beyond what passes.
    package func run(
        on stores: [any Store], beside: @escaping @Sendable () async throws -> Void = {}
    ) async throws -> String {
        let judge = try unwrapped(stores.last, "a store")
        let first = try await judge.currentRevision().next
        let begun = Tally()
        let work = Task {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<takers {
                    let store = stores[index % stores.count]
                    group.addTask {
                        try await labour(index, store) { begun.add() }
                    }
                }
                try await group.waitForAll()
            }
        }
        defer { work.cancel() }
        let offering = WorkQueue(store: stores[0], name: name, taker: "offers", seconds: 30)
        for piece in 0..<pieces { try await offering.offer("w\(piece)", [UInt8(piece % 256)]) }
        do {
            try await beside()
            try await observe(judge, from: first)
        } catch let error as ExpectationFailure {
            throw ExpectationFailure(description: "seed \(seed): \(error)")
        }
        // Offering it once more offers nothing.
        for piece in 0..<pieces { try await offering.offer("w\(piece)", [1]) }
        try expectEqual(try await judge.list(StoreKey("\(prefix)open/item/")).entries.map(\.key), [])
        work.cancel()
        do { try await work.value } catch is CancellationError {}
        return "\(pieces) pieces in \(begun.count) attempts"
    }

    private func labour(_ index: Int, _ store: any Store, _ began: @escaping @Sendable () -> Void) async throws {
        let chance = Chance(seed: seed &+ UInt64(index))
        var life = 0
        while true {
            life += 1
            // Who died comes back as somebody else, whose claims are not the dead one's.
            let queue = WorkQueue(
                store: store, name: name, taker: "t\(index)-\(life)", seconds: seconds,
                choose: { chance.below($0) })
            do {
                try await queue.perform { claim in
                    began()
                    if chance.below(100) < deaths {
                        // Its claim goes behind its back, and it finishes all the same.
                        if let lease = try await store.get(claim.fence.key)?.lease {
                            try await store.revokeLease(lease)
                        }
                    }
                    return claim.payload
                }
            } catch let error as CoveyError
                where error.retryable || error.code == .outcomeUnknown || error.code == .conflict
                || error.code == .notFound
            {
                await Task.yield()
            }
        }
    }

    private func observe(_ store: any Store, from first: Revision) async throws {
        var claims: [String: StoreEntry] = [:]
        var open: [String: [UInt8]] = [:]
        var done: Set<String> = []
        let answers = try await store.watch(prefix, from: first).makeAsyncIterator()
        while done.count < pieces {
            let answer: WatchAnswer?
            do { answer = try await answers.next() } catch let error as CoveyError where error.retryable { continue }
            guard case .changes(let batch)? = answer else {
                throw ExpectationFailure(description: "the judge's watch ended: \(String(describing: answer))")
            }
            for event in batch.events {
                let parts = event.key.text.split(separator: "/").map(String.init)
                let id = parts[parts.count - 1]
                switch (event, parts[parts.count - 2]) {
                case (.put(let entry), "item"):
                    try expect(open[id] == nil && !done.contains(id), "\(id) was offered twice")
                    open[id] = entry.value
                case (.delete, "item"): open[id] = nil
                case (.put(let entry), "claim"):
                    try expect(open[id] != nil, "\(id) was claimed though nobody offers it")
                    try expect(claims[id] == nil, "\(id) was claimed by two")
                    claims[id] = entry
                case (.delete, "claim"): claims[id] = nil
                case (.put(let entry), "done"):
                    let lines = String(decoding: entry.value, as: UTF8.self).split(separator: "\n")
                    let words = (lines.first ?? "").split(separator: " ")
                    let claim = claims[id]
                    try expect(done.insert(id).inserted, "\(id) was finished twice")
                    try expect(
                        words.count == 2 && claim.map { "\($0.createRevision)" } == String(words[1]),
                        "\(id) was finished by \(words) while \(String(describing: claim)) had it")
                case (_, _): break
                }
            }
        }
    }
}

/// Random numbers that repeat, for many tasks.
private final class Chance: Sendable {
    private let random: Mutex<SeededGenerator>

    init(seed: UInt64) { random = Mutex(SeededGenerator(seed: seed)) }

    func below(_ bound: Int) -> Int { random.withLock { Int.random(in: 0..<bound, using: &$0) } }
}
