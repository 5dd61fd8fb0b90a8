/// Ends leases when their time is over.
package struct LeaseRunner: Sendable {
    private let clock: StoreClock
    private let grants: RevisionSignal
    private let nextDeadline: @Sendable () -> Duration?
    private let expire: @Sendable () async throws -> Void

    /// A runner.
    ///
    /// - Parameters:
    ///   - clock: The store's clock.
    ///   - grants: Counts the grants, so that a new one with an earlier end is noticed.
    ///   - nextDeadline: When the next lease ends.
    ///   - expire: Ends the leases whose time is over.
    package init(
        clock: StoreClock, grants: RevisionSignal, nextDeadline: @escaping @Sendable () -> Duration?,
        expire: @escaping @Sendable () async throws -> Void
    ) {
        self.clock = clock
        self.grants = grants
        self.nextDeadline = nextDeadline
        self.expire = expire
    }

    /// Runs until it is cancelled. A store that cannot write now is tried again after a second.
    package func run() async throws {
        var seen = grants.current
        while true {
            try Task.checkCancellation()
            do { try await expire() } catch {
                if error is CancellationError { throw error }
                try await clock.sleep(clock.elapsed() + .seconds(1))
                continue
            }
            let wanted = seen.next
            let deadline = nextDeadline()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await grants.wait(for: wanted) }
                if let deadline { group.addTask { try await clock.sleep(deadline) } }
                try await group.next()
                group.cancelAll()
            }
            seen = grants.current
        }
    }
}
