internal import CoveySQLiteStore
internal import CoveyStore
internal import CoveyTesting
internal import Testing

@Suite("Addresses on SQLite", .timeLimit(.minutes(2)))
struct SQLiteAddressTests {
    private func withStore(_ body: @Sendable (SQLiteStore) async throws -> Void) async throws {
        try await withFolder { folder in
            let store = try await SQLiteStore.open("\(folder)/store.db", clock: StoreClock())
            do { try await body(store) } catch {
                try await store.close()
                throw error
            }
            try await store.close()
        }
    }

    @Test("50 creations at once have addresses of their own, and leave nothing")
    func concurrent() async throws {
        try await withStore { store in try await AddressWorkload([store, store]).concurrentCreations() }
    }

    @Test("a network is not removed under a machine that is made meanwhile")
    func races() async throws {
        try await withStore { store in try await AddressWorkload([store, store]).removalRaces() }
    }
}
