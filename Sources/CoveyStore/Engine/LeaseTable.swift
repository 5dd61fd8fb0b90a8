/// When leases end. A value without a clock: the time comes in with each call.
package struct LeaseTable: Sendable {
    private struct Term {
        var seconds: Int
        var deadline: Duration
    }

    private var terms: [LeaseID: Term] = [:]

    /// No leases.
    package init() {}

    /// Adds a lease that was granted, or one that a store found when it was opened.
    package mutating func add(_ lease: Lease, now: Duration) {
        terms[lease.id] = Term(seconds: lease.seconds, deadline: now + .seconds(lease.seconds))
    }

    /// Takes a lease away. False where it was not there.
    package mutating func remove(_ lease: LeaseID) -> Bool { terms.removeValue(forKey: lease) != nil }

    /// Takes a lease away and returns its seconds; nil where it was not there.
    package mutating func take(_ lease: LeaseID) -> Int? { terms.removeValue(forKey: lease)?.seconds }

    /// Lets a lease begin anew. False where it is not there.
    package mutating func keepAlive(_ lease: LeaseID, now: Duration) -> Bool {
        guard let term = terms[lease] else { return false }
        terms[lease]?.deadline = now + .seconds(term.seconds)
        return true
    }

    /// Whether a lease is there; one whose time is over is there until it is removed.
    package func contains(_ lease: LeaseID) -> Bool { terms[lease] != nil }

    /// The leases whose time is over, in the order of their ends.
    package func due(now: Duration) -> [LeaseID] {
        terms.filter { $0.value.deadline <= now }
            .sorted { ($0.value.deadline, $0.key) < ($1.value.deadline, $1.key) }.map(\.key)
    }

    /// Whether a lease's time is over.
    package func isDue(_ lease: LeaseID, now: Duration) -> Bool { terms[lease].map { $0.deadline <= now } ?? false }

    /// When the next lease ends; nil without leases.
    package var nextDeadline: Duration? { terms.values.map(\.deadline).min() }
}
