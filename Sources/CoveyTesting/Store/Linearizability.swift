/// One call on a register, as its caller saw it. Every value is written by one call at most.
package struct RegisterCall: Sendable, CustomStringConvertible {
    /// What was asked for and what was answered.
    package enum Action: Hashable, Sendable {
        /// Read; nil is an absent register.
        case read(String?)
        /// Written.
        case write(String)
        /// Deleted.
        case delete
        /// Written in place of what was there.
        case exchange(from: String, to: String)
        /// Not written, since something else than wanted was there.
        case refuse(from: String, seen: String?)
        /// Written or not: the answer was lost.
        case unknownWrite(String)
        /// Deleted or not: the answer was lost.
        case unknownDelete
        /// Written in place of what was there, or not: the answer was lost.
        case unknownExchange(from: String, to: String)
    }

    /// Who called.
    package var client: Int
    /// What it did.
    package var action: Action
    /// When it began, in an order that all callers share.
    package var start: Int
    /// When its answer came; of a lost one, when that was known.
    package var end: Int

    /// Puts the parts together.
    package init(client: Int, action: Action, start: Int, end: Int) {
        self.client = client
        self.action = action
        self.start = start
        self.end = end
    }

    /// `3: write(a) [4, 9]`.
    package var description: String { "\(client): \(action) [\(start), \(end)]" }
}

/// Whether calls on one register can have happened one after the other, each at a moment between its start and its
/// end: nil where they can, otherwise the first call whose answer fits no order. Source: Wing and Gong, Testing and
/// Verifying Concurrent Objects, 1993; calls get their moment when the first of them ends, after Lowe, Testing for
/// Linearizability, 2017.
package func linearizabilityViolation(in calls: [RegisterCall], from initial: String? = nil) -> RegisterCall? {
    var search = LinearizabilitySearch(initial)
    let calls = bounded(calls)
    var moments: [(time: Int, isEnd: Bool, call: Int)] = []
    for (index, call) in calls.enumerated() {
        moments.append((call.start, false, index))
        if call.end < .max { moments.append((call.end, true, index)) }
    }
    // A start and an end at one moment overlap.
    moments.sort { ($0.time, $0.isEnd ? 1 : 0, $0.call) < ($1.time, $1.isEnd ? 1 : 0, $1.call) }
    for moment in moments {
        let call = calls[moment.call]
        if !moment.isEnd {
            search.begin(moment.call, call.action)
        } else if !search.end(moment.call) {
            return call
        }
    }
    return nil
}

/// Gives lost calls the latest moment at which they can have happened: that of the first who saw it. A lost write
/// that nobody saw may as well have happened never. A lost deletion may have happened at any time to come.
private func bounded(_ calls: [RegisterCall]) -> [RegisterCall] {
    var seen: [String: Int] = [:]
    var lost: [(from: String, to: String)] = []
    for call in calls {
        switch call.action {
        case .read(let value?), .exchange(let value, _), .refuse(_, let value?):
            seen[value] = min(seen[value] ?? .max, call.end)
        case .unknownExchange(let from, let to): lost.append((from, to))
        case .read(nil), .refuse(_, nil), .write, .delete, .unknownWrite, .unknownDelete: break
        }
    }
    // A lost exchange whose value was seen has seen what it replaced, before that.
    for _ in lost {
        for (from, to) in lost {
            if let end = seen[to] { seen[from] = min(seen[from] ?? .max, end) }
        }
    }
    return calls.compactMap { call in
        var call = call
        switch call.action {
        case .read, .write, .delete, .exchange, .refuse: break
        case .unknownWrite(let value):
            guard let end = seen[value] else { return nil }
            call.action = .write(value)
            call.end = end
        case .unknownExchange(let from, let to):
            guard let end = seen[to] else { return nil }
            call.action = .exchange(from: from, to: to)
            call.end = end
        case .unknownDelete: call.end = .max
        }
        return call
    }
}

/// All that may have happened so far.
private struct LinearizabilitySearch {
    private struct World: Hashable {
        /// The calls under way that have had their moment.
        var done: Set<Int> = []
        /// Lost deletions that may still happen. They are all alike.
        var deletions: Int
        var value: String?
    }

    private var worlds: Set<World>
    private var open: [(call: Int, action: RegisterCall.Action)] = []

    init(_ initial: String?) { worlds = [World(deletions: 0, value: initial)] }

    mutating func begin(_ call: Int, _ action: RegisterCall.Action) {
        guard action != .unknownDelete else {
            worlds = Set(
                worlds.map { world in
                    var world = world
                    world.deletions += 1
                    return world
                })
            return
        }
        open.append((call, action))
    }

    /// Keeps the worlds in which a call has had its moment. False where there is none.
    mutating func end(_ ended: Int) -> Bool {
        var kept: Set<World> = []
        var seen = worlds
        var waiting = Array(worlds)
        while var world = waiting.popLast() {
            if world.done.contains(ended) {
                world.done.remove(ended)
                kept.insert(world)
                continue
            }
            var next: [World] = []
            if world.deletions > 0, world.value != nil {
                next.append(World(done: world.done, deletions: world.deletions - 1, value: nil))
            }
            for (call, action) in open where !world.done.contains(call) {
                guard let after = outcome(action, world.value) else { continue }
                next.append(
                    World(done: world.done.union([call]), deletions: world.deletions, value: after.value))
            }
            for world in next where seen.insert(world).inserted { waiting.append(world) }
        }
        worlds = kept
        open.removeAll { $0.call == ended }
        return !worlds.isEmpty
    }

    /// What a call leaves behind where it happens now; nil where it cannot happen now.
    private func outcome(_ action: RegisterCall.Action, _ value: String?) -> (value: String?, Void)? {
        switch action {
        case .read(let seen): seen == value ? (value, ()) : nil
        case .write(let new), .unknownWrite(let new): (new, ())
        case .delete, .unknownDelete: (nil, ())
        case .exchange(let from, let to): from == value ? (to, ()) : nil
        case .unknownExchange(let from, let to): (from == value ? to : value, ())
        case .refuse(let from, let seen): seen == value && from != value ? (value, ()) : nil
        }
    }
}
