/// Where a machine is in its life.
package enum MachinePhase: String, Codable, Sendable, CaseIterable {
    case pending
    case scheduled
    case preparing
    case starting
    case running
    case paused
    case stopping
    case stopped
    case failed
    case deleting
    case unknown
}

/// The allowed transitions: the only place that knows them.
package struct MachineLifecycle: Hashable, Sendable {
    /// The current phase.
    package private(set) var phase: MachinePhase

    /// A life that is at a phase.
    package init(_ phase: MachinePhase) { self.phase = phase }

    /// Goes to a phase. Errors: ``ErrorCode/internalError`` for a transition that is not allowed.
    package mutating func move(to next: MachinePhase) throws(CoveyError) {
        guard next == phase || MachineLifecycle.successors(of: phase).contains(next) else {
            throw CoveyError(.internalError, "a machine that is \(phase.rawValue) cannot become \(next.rawValue)")
        }
        phase = next
    }

    /// The phases that may follow one. `unknown` is entered from every living phase when a daemon starts,
    /// until the machine was looked at; `deleting` can follow everything.
    package static func successors(of phase: MachinePhase) -> Set<MachinePhase> {
        switch phase {
        case .pending: [.scheduled, .stopped, .failed, .deleting]
        case .scheduled: [.preparing, .stopped, .failed, .deleting, .unknown]
        case .preparing: [.starting, .stopped, .failed, .deleting, .unknown]
        case .starting: [.running, .stopping, .stopped, .failed, .deleting, .unknown]
        case .running: [.paused, .stopping, .stopped, .preparing, .failed, .deleting, .unknown]
        case .paused: [.running, .stopping, .stopped, .preparing, .failed, .deleting, .unknown]
        case .stopping: [.stopped, .preparing, .failed, .deleting, .unknown]
        case .stopped: [.scheduled, .preparing, .failed, .deleting]
        case .failed: [.scheduled, .preparing, .stopped, .deleting]
        case .deleting: []
        case .unknown: [.running, .paused, .preparing, .stopping, .stopped, .failed, .deleting]
        }
    }
}

/// Exponential back-off with a ceiling.
package struct Backoff: Hashable, Sendable {
    /// The first delay.
    package var first: Duration
    /// The longest delay.
    package var ceiling: Duration

    /// Makes a back-off; by default 1 s doubling up to 5 min.
    package init(first: Duration = .seconds(1), ceiling: Duration = .seconds(300)) {
        self.first = first
        self.ceiling = ceiling
    }

    /// The delay before try `attempt`, counted from 0.
    package func delay(attempt: Int) -> Duration {
        var delay = first
        for _ in 0..<min(max(attempt, 0), 62) where delay < ceiling { delay *= 2 }
        return min(delay, ceiling)
    }
}

extension RestartPolicy {
    /// Whether a machine is started again after a run that ended so, `restarts` restarts after the user's last start.
    ///
    /// A stop by the user sticks; a reboot in the guest starts again whatever the policy.
    package func restarts(after end: RunEnd, exitCode: Int32?, restarts: Int) -> Bool {
        switch end {
        case .stopped: return false
        case .rebooted: return true
        case .poweredOff: return self == .always
        case .programExited:
            if exitCode == 0 { return self == .always }
            return afterFailure(restarts)
        case .crashed, .vmmDied, .startFailed: return afterFailure(restarts)
        }
    }

    private func afterFailure(_ restarts: Int) -> Bool {
        switch self {
        case .never: false
        case .always: true
        case .onFailure(nil): true
        case .onFailure(let limit?): restarts < limit
        }
    }
}
