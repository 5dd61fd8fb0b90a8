/// A clock as a store's leases need it: time since some start, and a wait.
package struct StoreClock: Sendable {
    /// The time since the clock was taken.
    package let elapsed: @Sendable () -> Duration
    /// Waits until so much time has passed since the clock was taken.
    package let sleep: @Sendable (_ until: Duration) async throws -> Void

    /// Takes any clock.
    package init<C: Clock>(_ clock: C = ContinuousClock()) where C.Duration == Duration {
        let start = clock.now
        elapsed = { start.duration(to: clock.now) }
        sleep = { try await clock.sleep(until: start.advanced(by: $0), tolerance: nil) }
    }
}
