internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Testing

@Suite("Memory store", .timeLimit(.minutes(2)))
struct MemoryStoreTests {
    @Test("the memory store does what every store does", arguments: StoreConformance.checks)
    func conforms(check: StoreConformance.Check) async throws {
        try await check.run { clock, body in try await body(MemoryStore(clock: clock)) }
    }

    @Test("a write whose outcome is unknown has happened or not, as chosen, and neither is told")
    func unknownOutcomes() async throws {
        let store = MemoryStore()
        for (fault, happens) in [(MemoryStore.Fault.unknownBefore, false), (.unknownAfter, true)] {
            store.setFaults { call in if case .write = call { fault } else { nil } }
            let key = StoreKey("t/\(happens)")
            let error = await #expect(throws: CoveyError.self) {
                try await store.transact(Transaction(success: [.put(key, [1])]))
            }
            #expect(error?.code == .outcomeUnknown)
            store.setFaults { _ in nil }
            #expect(try await (store.get(key) != nil) == happens)
        }
    }

    @Test("a store that is not reachable answers nothing, and goes on afterwards")
    func unavailable() async throws {
        let store = MemoryStore()
        let answers = try await store.watch("t/", from: nil).makeAsyncIterator()
        store.setFaults { _ in .unavailable }
        let read = await #expect(throws: CoveyError.self) { try await store.get("t/a") }
        let write = await #expect(throws: CoveyError.self) {
            try await store.transact(Transaction(success: [.put("t/a", [1])]))
        }
        let watch = await #expect(throws: CoveyError.self) { try await answers.next() }
        #expect([read?.code, write?.code, watch?.code] == [.unavailable, .unavailable, .unavailable])
        store.setFaults { _ in nil }
        let revision = try await store.transact(Transaction(success: [.put("t/a", [1])])).revision
        guard case .changes(let batch)? = try await answers.next() else {
            Issue.record("the watch did not go on")
            return
        }
        #expect(batch.revision == revision)
    }

    @Test("history beyond the bound is compacted, and a watcher behind is told")
    func boundedHistory() async throws {
        let store = MemoryStore(historyLimit: 100)
        let answers = try await store.watch("t/", from: nil).makeAsyncIterator()
        for index in 0..<1000 {
            _ = try await store.transact(Transaction(success: [.put("t/a", Array("\(index)".utf8))]))
        }
        guard case .compacted(let revision)? = try await answers.next() else {
            Issue.record("the watcher was not told")
            return
        }
        let now = try await store.currentRevision()
        #expect(revision.number > now.number - 101)
    }
}
