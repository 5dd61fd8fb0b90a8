internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Testing

@Suite("Coordination", .timeLimit(.minutes(1)))
struct CoordinationTests {
    @Test("the check of elections finds leaders that write without their compare")
    func unfenced() async throws {
        var workload = ElectionWorkload(seed: 11)
        workload.isFenced = false
        let store = MemoryStore()
        let work = Task { try await store.run() }
        defer { work.cancel() }
        let failure = await #expect(throws: ExpectationFailure.self) { try await workload.run(on: [store]) }
        #expect(failure?.description.contains("seed 11") == true)
        #expect(failure?.description.contains("led") == true)
    }

    @Test("a leader that cannot renew stops its work before its lease can end, and says that it was deposed")
    func demotion() async throws {
        let clock = ManualClock()
        let store = MemoryStore(clock: StoreClock(clock))
        let election = Election(
            store: store, name: "x", candidate: "a", seconds: 9, clock: StoreClock(clock))
        let (begun, beginning) = AsyncStream.makeStream(of: Void.self)
        let leading = Task {
            try await election.lead { _ in
                beginning.yield()
                // Ends by its cancellation alone.
                try await clock.sleep(until: clock.now.advanced(by: .seconds(1000)), tolerance: nil)
            }
        }
        for await _ in begun { break }
        await clock.waitForSleeper(until: .seconds(3))
        store.setFaults { call in if case .upkeep = call { .unavailable } else { nil } }
        clock.advance(by: .seconds(3))
        for quarters in 1...4 {
            await clock.waitForSleeper(until: min(.milliseconds(3000 + 750 * quarters), .seconds(6)))
            clock.advance(by: .milliseconds(750))
        }
        let error = await #expect(throws: CoveyError.self) { try await leading.value }
        #expect(error?.code == .conflict && error?.retryable == false && error?.remedy != nil)
        #expect(clock.now.offset == .seconds(6))
    }
}
