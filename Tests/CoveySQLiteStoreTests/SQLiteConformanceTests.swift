internal import CoveyModel
internal import CoveySQLiteStore
internal import CoveyStore
internal import CoveyTesting
internal import Testing

@Suite("SQLite store", .timeLimit(.minutes(2)))
struct SQLiteConformanceTests {
    @Test("the SQLite store does what every store does", arguments: StoreConformance.checks)
    func conforms(check: StoreConformance.Check) async throws {
        try await check.run { clock, body in
            try await withFolder { folder in
                let store = try await SQLiteStore.open("\(folder)/store.db", clock: clock)
                do { try await body(store) } catch {
                    try await store.close()
                    throw error
                }
                try await store.close()
            }
        }
    }
}
