package import CoveyModel

/// Time as the node agent sees it; tests give their own.
package struct NodeClock: Sendable {
    /// The wall clock.
    package var now: @Sendable () -> Timestamp
    /// A clock that only goes forward, for measuring.
    package var uptime: @Sendable () -> Duration
    /// Suspends for a time.
    package var sleep: @Sendable (Duration) async throws -> Void

    /// A clock from its three parts.
    package init(
        now: @escaping @Sendable () -> Timestamp, uptime: @escaping @Sendable () -> Duration,
        sleep: @escaping @Sendable (Duration) async throws -> Void
    ) {
        self.now = now
        self.uptime = uptime
        self.sleep = sleep
    }
}

/// Points at which tests let the agent die, as if it were killed there.
package struct FaultPoints: Sendable {
    /// Called with the point's name; throws ``FaultInjected``, or does not return.
    package var reach: @Sendable (String) throws -> Void

    /// Fault points with an effect; without one they do nothing.
    package init(_ reach: @escaping @Sendable (String) throws -> Void = { _ in }) { self.reach = reach }
}

/// The agent is to act as if it were gone: no undo, no further step.
package struct FaultInjected: Error, Hashable, Sendable {
    /// The point's name.
    package let point: String
    /// A fault at a point.
    package init(point: String) { self.point = point }
}
