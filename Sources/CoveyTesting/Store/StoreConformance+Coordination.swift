internal import CoveyModel
internal import CoveyStore
internal import Synchronization

extension StoreConformance {
    /// What stands on the contract alone: leaders and takers of work.
    package static let coordination: [Check] = [
        Check("whoever leads writes, whoever was deposed does not, and candidates without luck wait") { store in
            try await running(store) { try await ElectionWorkload().report(on: [store]) }
        },
        Check("leaders are elected and deposed while the answers of writes are lost") { store in
            try await running(store) {
                var workload = ElectionWorkload()
                workload.depositions = 5
                let uncertain = UncertainStore(store, seed: workload.seed)
                try await workload.report(on: [uncertain, uncertain, store])
            }
        },
        Check("work is taken by one, given again where its taker is lost, and finished once") { store in
            try await running(store) { try await QueueWorkload().report(on: [store]) }
        },
        Check("work is finished once while the answers of writes are lost") { store in
            try await running(store) {
                let workload = QueueWorkload()
                let uncertain = UncertainStore(store, seed: workload.seed)
                try await workload.report(on: [uncertain, uncertain, store])
            }
        },
        Check("a leader that says nothing any more is followed by another, whose term is larger") { store in
            try await running(store) {
                // What is left of a process that was killed: the key and the lease, and nobody who renews it.
                let dead = try await store.grantLease(seconds: 2)
                let before = try await store.put("election/x", "dead \(dead.id)", lease: dead.id)
                // Long enough that a busy host does not lose it between two renewals.
                let election = Election(store: store, name: "x", candidate: "next", seconds: 5)
                try expectEqual(try await election.leader()?.candidate, "dead")
                try await election.lead { leadership in
                    try expect(leadership.term > before, "the term is larger")
                    try expectEqual(try await election.leader()?.candidate, "next")
                    // It outlives its lease's time by renewing it.
                    try await ContinuousClock().sleep(for: .seconds(7))
                    _ = try await leadership.transact(Transaction(success: [.put("t/a", [1])]))
                }
                try expect(try await election.leader() == nil, "who is done gives the key back at once")
                let old = Fence(key: "election/x", revision: before)
                try await store.expectCode(.conflict, "a write of the dead one") {
                    _ = try await old.transact(Transaction(success: [.put("t/a", [2])]), on: store)
                }
                try expectEqual(try await store.get("t/a")?.value, [1])
            }
        },
        Check("a fence tells a lost compare from a lost key, and takes no write where compares fail") { store in
            let revision = try await store.put("t/key", "mine")
            let fence = Fence(key: "t/key", revision: revision)
            let lost = try await fence.transact(
                Transaction(compares: [.exists("t/none")], success: [.put("t/a", [1])], failure: [.get("t/a")]),
                on: store)
            try expectEqual(lost.succeeded, false)
            try expectEqual(lost.results, [.got(nil)])
            try await store.expectCode(.invalid, "a write in the failure branch") {
                _ = try await fence.transact(Transaction(success: [], failure: [.put("t/a", [1])]), on: store)
            }
            // Gone and come again is another one, whatever it says.
            try await store.delete("t/key")
            try await store.put("t/key", "mine")
            try await store.expectCode(.conflict, "a write under the old key") {
                _ = try await fence.transact(Transaction(success: [.put("t/a", [1])]), on: store)
            }
            try expect(try await store.get("t/a") == nil, "nothing was written")
            try expectEqual(try await fence.holds(on: store), false)
        },
        Check("work whose taker fails is offered again at once, and a result is kept until it is forgotten") { store in
            try await running(store) {
                let queue = WorkQueue(store: store, name: "q", taker: "a")
                try await queue.offer("one", [7])
                try await store.expectCode(.denied, "the body's error") {
                    try await queue.perform { _ in throw CoveyError(.denied, "no") }
                }
                let other = WorkQueue(store: store, name: "q", taker: "b")
                try expectEqual(try await other.perform { claim in claim.payload + [8] }, "one")
                try expectEqual(try await queue.result("one"), [7, 8])
                try await queue.offer("one", [9])
                try expectEqual(try await store.list("queue/q/open/").entries.count, 0)
                try await queue.forget("one")
                try expectEqual(try await queue.result("one"), nil)
                try await store.expectCode(.invalid, "an id with a slash") { try await queue.offer("a/b", []) }
            }
        },
    ]
}

extension ElectionWorkload {
    fileprivate func report(on stores: [any Store]) async throws { _ = try await run(on: stores) }
}

extension QueueWorkload {
    fileprivate func report(on stores: [any Store]) async throws { _ = try await run(on: stores) }
}
