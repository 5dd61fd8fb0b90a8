/// Which member is asked next. A value without a clock: the time comes in with each call.
struct EndpointBook: Sendable {
    private struct Entry {
        var failures = 0
        var notBefore = Duration.zero
        var isRetired = false
    }

    private static let firstPause = Duration.milliseconds(200)
    private static let longestPause = Duration.seconds(8)
    /// For a member that says itself that it cannot now, such as one without a leader: elections take a second.
    private static let shortPause = Duration.milliseconds(400)

    private var entries: [Entry]
    /// The member that answered last: asked as long as it answers.
    private(set) var current: Int

    /// A book of members that nothing is known of; asked first is the one at `first`.
    init(count: Int, first: Int = 0) {
        entries = Array(repeating: Entry(), count: count)
        current = count > 0 ? first % count : 0
    }

    /// Forgets what has failed: connections are made otherwise from now on.
    mutating func forgive() {
        for index in entries.indices {
            entries[index].failures = 0
            entries[index].notBefore = .zero
        }
    }

    /// One more member.
    mutating func extend() { entries.append(Entry()) }

    /// A member is gone for good, or back.
    mutating func retire(_ index: Int, _ isRetired: Bool) { entries[index].isRetired = isRetired }

    /// Whether a member is gone for good.
    func isRetired(_ index: Int) -> Bool { entries[index].isRetired }

    /// The member to ask, and how long to wait before: zero unless all of them failed a moment ago.
    func choose(now: Duration) -> (index: Int, wait: Duration) {
        var best = current
        for offset in 0..<entries.count {
            let index = (current + offset) % entries.count
            if entries[index].isRetired { continue }
            if entries[index].notBefore <= now { return (index, .zero) }
            if entries[best].isRetired || entries[index].notBefore < entries[best].notBefore { best = index }
        }
        return (best, entries[best].notBefore - now)
    }

    /// A member did not do its work: it is left alone for a while, longer each time. Calls that were under way together fail
    /// together, which counts once.
    ///
    /// - Parameter answered: Whether it said so itself.
    mutating func failed(_ index: Int, now: Duration, answered: Bool = false) {
        if index == current { current = (index + 1) % entries.count }
        guard entries[index].failures == 0 || entries[index].notBefore <= now else { return }
        entries[index].failures += 1
        let doublings = min(entries[index].failures - 1, 8)
        let longest = answered ? Self.shortPause : Self.longestPause
        entries[index].notBefore = now + min(Self.firstPause * (1 << doublings), longest)
    }

    /// A member answered.
    mutating func worked(_ index: Int) {
        entries[index].failures = 0
        entries[index].notBefore = .zero
        current = index
    }

    /// Whether a member failed when it was asked last.
    func isFailing(_ index: Int) -> Bool { entries[index].failures > 0 }
}
