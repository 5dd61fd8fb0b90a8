internal import CoveyModel
internal import CoveyStore

extension StoreConformance {
    static let leases: [Check] = [
        Check(
            "a lease ends with its keys in one revision, not before its time",
            clock: { store, clock in
                try await running(store) {
                    let lease = try await store.grantLease(seconds: 10)
                    try await store.put("t/b", "2", lease: lease.id)
                    try await store.put("t/a", "1", lease: lease.id)
                    let before = try await store.put("t/stays", "3")
                    await clock.waitForSleeper(until: .seconds(10))
                    let answers = try await store.watch("t/", from: before.next).makeAsyncIterator()
                    clock.advance(by: .milliseconds(9999))
                    try expect(try await store.get("t/a") != nil, "it is there just before")
                    clock.advance(by: .milliseconds(1))
                    let answer = try await answers.next()
                    let gone = WatchBatch(revision: before.next, events: [.delete("t/a"), .delete("t/b")])
                    try expectEqual(answer, .changes(gone))
                    try expectEqual(try await store.list("t/").entries.map(\.key), ["t/stays"])
                    try await store.expectCode(.notFound, "keeping a lease that has ended") {
                        try await store.keepAlive(lease.id)
                    }
                }
            }),
        Check(
            "a lease that is kept alive lives its full time again",
            clock: { store, clock in
                try await running(store) {
                    let lease = try await store.grantLease(seconds: 10)
                    let other = try await store.grantLease(seconds: 12)
                    try await store.put("t/a", "1", lease: lease.id)
                    try await store.put("t/b", "1", lease: other.id)
                    await clock.waitForSleeper(until: .seconds(10))
                    clock.advance(by: .seconds(9))
                    try await store.keepAlive(lease.id)
                    clock.advance(by: .seconds(1))
                    await clock.waitForSleeper(until: .seconds(12))
                    let now = try await store.currentRevision()
                    let answers = try await store.watch("t/", from: now.next).makeAsyncIterator()
                    clock.advance(by: .seconds(2))
                    _ = try await answers.next()
                    try expectEqual(try await store.list("t/").entries.map(\.key), ["t/a"])
                    await clock.waitForSleeper(until: .seconds(19))
                    clock.advance(by: .seconds(7))
                    _ = try await answers.next()
                    try expectEqual(try await store.list("t/").entries.map(\.key), [])
                }
            }),
        Check(
            "an earlier end that is granted later is noticed",
            clock: { store, clock in
                try await running(store) {
                    _ = try await store.grantLease(seconds: 100)
                    await clock.waitForSleeper(until: .seconds(100))
                    let short = try await store.grantLease(seconds: 1)
                    try await store.put("t/a", "1", lease: short.id)
                    await clock.waitForSleeper(until: .seconds(1))
                    let now = try await store.currentRevision()
                    let answers = try await store.watch("t/", from: now.next).makeAsyncIterator()
                    clock.advance(by: .seconds(1))
                    _ = try await answers.next()
                    try expect(try await store.get("t/a") == nil, "it is gone")
                }
            }),
        Check("revoking a lease deletes its keys; a put without it takes a key off it") { store in
            let lease = try await store.grantLease(seconds: 60)
            try await store.put("t/a", "1", lease: lease.id)
            try await store.put("t/b", "1", lease: lease.id)
            try await store.put("t/b", "2")
            try expectEqual(try await store.get("t/a")?.lease, lease.id)
            try expectEqual(try await store.get("t/b")?.lease, nil)
            try await store.revokeLease(lease.id)
            try expectEqual(try await store.list("t/").entries.map(\.key), ["t/b"])
            try await store.expectCode(.notFound, "revoking it again") { try await store.revokeLease(lease.id) }
            let empty = try await store.grantLease(seconds: 60)
            let before = try await store.currentRevision()
            try await store.revokeLease(empty.id)
            try expectEqual(try await store.currentRevision(), before, "a lease without keys makes no revision")
            try expect(empty.id != lease.id, "ids are not used again")
        },
        Check("by the clock on the wall a lease ends, not before its time, and its keys go in one revision") { store in
            try await running(store) {
                let clock = ContinuousClock()
                let start = clock.now
                let lease = try await store.grantLease(seconds: 2)
                try await store.put("t/b", "2", lease: lease.id)
                let last = try await store.put("t/a", "1", lease: lease.id)
                let answers = try await store.watch("t/", from: last.next).makeAsyncIterator()
                let answer = try await answers.next()
                let gone = WatchBatch(revision: last.next, events: [.delete("t/a"), .delete("t/b")])
                try expectEqual(answer, .changes(gone))
                try expect(start.duration(to: clock.now) >= .seconds(lease.seconds), "it lived its time")
                try await store.expectCode(.notFound, "keeping it") { try await store.keepAlive(lease.id) }
                try await store.expectCode(.notFound, "putting with it") {
                    try await store.put("t/c", "3", lease: lease.id)
                }
            }
        },
        Check("by the clock on the wall a lease that is kept alive outlives its first time") { store in
            try await running(store) {
                let clock = ContinuousClock()
                let lease = try await store.grantLease(seconds: 4)
                try await store.put("t/a", "1", lease: lease.id)
                var kept = clock.now
                for _ in 0..<5 {
                    try await clock.sleep(for: .seconds(1))
                    let sent = clock.now
                    do { try await store.keepAlive(lease.id) } catch let error as CoveyError
                        where error.code == .notFound
                    {
                        // On a host this busy it may have ended in between; never before its time.
                        return try expect(kept.duration(to: clock.now) >= .seconds(4), "it ended early")
                    }
                    kept = sent
                }
                let there = try await store.get("t/a") != nil
                try expect(there || kept.duration(to: clock.now) >= .seconds(4), "it ended early")
            }
        },
        Check("a lease of no time is refused") { store in
            try await store.expectCode(.invalid, "0 s") { _ = try await store.grantLease(seconds: 0) }
        },
    ]

    /// Runs the store's own work beside the body.
    static func running(_ store: any Store, _ body: () async throws -> Void) async throws {
        let work = Task { try await store.run() }
        defer { work.cancel() }
        try await body()
    }
}
