internal import CoveyModel
package import CoveyStore

/// What every store has to do: the same checks for all implementations.
package struct StoreConformance: Sendable {
    /// Opens an empty store with leases by a clock, gives it to the body, and closes and removes it.
    package typealias Harness =
        @Sendable (StoreClock, @Sendable (any Store) async throws -> Void) async throws -> Void

    /// A claim about stores.
    package struct Check: Sendable, CustomStringConvertible {
        /// The claim.
        package let description: String
        /// Whether it moves the clock that leases go by: not for stores that keep their own time.
        package let movesClock: Bool
        private let body: @Sendable (Harness) async throws -> Void

        /// Runs the check. Errors: ``ExpectationFailure``; what the store throws.
        package func run(_ harness: Harness) async throws { try await body(harness) }

        init(_ claim: String, _ body: @escaping @Sendable (any Store) async throws -> Void) {
            description = claim
            movesClock = false
            self.body = { try await $0(StoreClock(), body) }
        }

        init(_ claim: String, clock: @escaping @Sendable (any Store, ManualClock) async throws -> Void) {
            description = claim
            movesClock = true
            body = { harness in
                let manual = ManualClock()
                try await harness(StoreClock(manual)) { try await clock($0, manual) }
            }
        }
    }

    /// All checks.
    package static let checks = transactions + reading + watching + leases + coordination + random
}

extension Store {
    @discardableResult
    func put(_ key: StoreKey, _ value: String, lease: LeaseID? = nil) async throws -> Revision {
        try await transact(Transaction(success: [.put(key, Array(value.utf8), lease: lease)])).revision
    }

    @discardableResult
    func delete(_ key: StoreKey) async throws -> Revision {
        try await transact(Transaction(success: [.delete(key)])).revision
    }

    func text(_ key: StoreKey) async throws -> String? {
        try await get(key).map { String(decoding: $0.value, as: UTF8.self) }
    }

    /// Throws where the body does not fail with a code.
    func expectCode(
        _ code: ErrorCode, _ claim: String, line: Int = #line, _ body: () async throws -> Void
    ) async throws {
        do { try await body() } catch let error as CoveyError {
            return try expectEqual(error.code, code, claim, line: line)
        }
        throw ExpectationFailure(description: "\(claim): nothing was thrown (line \(line))")
    }
}
