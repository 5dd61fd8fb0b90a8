internal import CoveyModel
internal import CoveyStore

extension StoreConformance {
    static let random: [Check] =
        (0..<6).map { index in
            Check("random history \(index) reads as the model says") { store in
                let seed = index < 3 ? UInt64(index) : UInt64.random(in: .min ... .max)
                do { try await history(store, seed: seed) } catch {
                    throw ExpectationFailure(description: "seed \(seed): \(error)")
                }
            }
        } + [
            Check("concurrent writers lose no update, and the watch has seen each") { store in
                let (writers, rounds) = (16, 25)
                try await store.put("t/count", "0")
                let first = try await store.currentRevision().next
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<writers {
                        group.addTask {
                            for _ in 0..<rounds {
                                while true {
                                    let old = try unwrapped(try await store.get("t/count"), "the counter")
                                    let number = Int(String(decoding: old.value, as: UTF8.self)) ?? -1
                                    let result = try await store.transact(
                                        Transaction(
                                            compares: [.modRevision("t/count", old.modRevision)],
                                            success: [.put("t/count", Array("\(number + 1)".utf8))]))
                                    if result.succeeded { break }
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try expectEqual(try await store.text("t/count"), "\(writers * rounds)")
                let answers = try await store.watch("t/", from: first).makeAsyncIterator()
                for number in 1...(writers * rounds) {
                    guard case .changes(let batch)? = try await answers.next(),
                        case .put(let entry)? = batch.events.first
                    else { throw ExpectationFailure(description: "change \(number) is missing") }
                    try expectEqual(String(decoding: entry.value, as: UTF8.self), "\(number)")
                }
            },
            Check("cancelled writers do not take back what others write, and revisions have no gap") { store in
                let before = try await store.currentRevision()
                let tasks = (0..<200).map { index in
                    Task { try await store.put("t/\(index)", "x") }
                }
                for (index, task) in tasks.enumerated() where index % 2 == 0 { task.cancel() }
                var revisions: Set<Revision> = []
                for (index, task) in tasks.enumerated() {
                    do {
                        revisions.insert(try await task.value)
                        try expect(try await store.get("t/\(index)") != nil, "write \(index) is there")
                    } catch is CancellationError { try expect(index % 2 == 0, "write \(index) was not cancelled") }
                }
                let entries = try await store.list("t/").entries
                try expect(revisions.isSubset(of: Set(entries.map(\.modRevision))), "each has its own revision")
                try expectEqual(
                    Set(entries.map(\.modRevision.number)),
                    Set((0..<entries.count).map { before.number + 1 + Int64($0) }))
            },
        ]

    private static func history(_ store: any Store, seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let base = try await store.currentRevision()
        var model = StoreModel(base: base)
        var compacted = base
        let live = try await store.watch("t/", from: base.next).makeAsyncIterator()
        var followed = base.next
        var followsLive = true
        for step in 0..<400 {
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<70:
                let transaction = transaction(model, &random)
                let seen = try await store.transact(transaction)
                let wanted = model.transact(transaction)
                try expectEqual(seen, wanted, "step \(step), \(transaction)")
            case 70..<85:
                let prefix = prefixes.randomElement(using: &random) ?? "t/"
                let revision = Revision(
                    Int64.random(in: compacted.number...model.revision.number, using: &random))
                var page = try await store.range(
                    prefix, from: nil, limit: Int.random(in: 1...4, using: &random), at: revision)
                var entries = page.entries
                while let next = page.next {
                    page = try await store.range(prefix, from: next, limit: 3, at: revision)
                    entries += page.entries
                }
                try expectEqual(entries, model.entries(prefix, at: revision), "step \(step), \(prefix) at \(revision)")
            case 85..<93:
                let prefix = prefixes.randomElement(using: &random) ?? "t/"
                guard compacted < model.revision else { continue }
                let from = Revision(
                    Int64.random(in: (compacted.number + 1)...model.revision.number, using: &random))
                let answers = try await store.watch(prefix, from: from).makeAsyncIterator()
                for wanted in model.changes(prefix, from: from) {
                    try expectEqual(try await answers.next(), .changes(wanted), "step \(step)")
                }
            case 93..<96:
                let revision = Revision(
                    Int64.random(in: compacted.number...model.revision.number, using: &random))
                try await store.compact(revision)
                compacted = revision
            case _:
                for wanted in model.changes("t/", from: followed) where followsLive {
                    let answer = try await live.next()
                    if followed <= compacted, case .compacted? = answer {
                        followsLive = false
                    } else {
                        try expectEqual(answer, .changes(wanted), "step \(step), live")
                    }
                    followed = wanted.revision.next
                }
            }
        }
        try expectEqual(try await store.currentRevision(), model.revision)
    }

    private static let prefixes: [StoreKey] = ["t/", "t/a", "t/b/", "t/c/1", "t/none"]
    private static let keys: [StoreKey] = ["t/a", "t/aa", "t/b/1", "t/b/2", "t/b/3", "t/c/1", "t/c/10", "t/d"]

    private static func transaction(_ model: StoreModel, _ random: inout SeededGenerator) -> Transaction {
        func key() -> StoreKey { keys.randomElement(using: &random) ?? "t/a" }
        func compare() -> Compare {
            let key = key()
            let entry = model.now[key]
            let stale = Revision(Int64.random(in: 0...model.revision.number, using: &random))
            let other = Bool.random(using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: return .exists(key)
            case 1: return .absent(key)
            case 2: return .createRevision(key, other ? stale : entry?.createRevision ?? .zero)
            case 3: return .modRevision(key, other ? stale : entry?.modRevision ?? .zero)
            case 4: return .value(key, other ? [UInt8.random(in: 0..<4, using: &random)] : entry?.value ?? [])
            case _: return .prefixEmpty(prefixes.randomElement(using: &random) ?? "t/")
            }
        }
        func branch() -> [StoreOperation] {
            var written: Set<StoreKey> = []
            return (0..<Int.random(in: 0..<5, using: &random)).map { _ in
                let key = key()
                let kind = Int.random(in: 0..<4, using: &random)
                guard kind > 0, written.insert(key).inserted else { return .get(key) }
                return kind == 1 ? .delete(key) : .put(key, [UInt8.random(in: 0..<4, using: &random)])
            }
        }
        let compares = (0..<Int.random(in: 0..<3, using: &random)).map { _ in compare() }
        return Transaction(compares: compares, success: branch(), failure: branch())
    }
}
