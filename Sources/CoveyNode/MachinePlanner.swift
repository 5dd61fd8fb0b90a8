package import CoveyModel

/// What a worker knows of its machine's run on this host.
package enum RunPresence: Hashable, Sendable {
    /// No VMM of this machine is there.
    case none
    /// Its VMM answers.
    case alive(paused: Bool)
    /// Its VMM is there and does not answer.
    case unresponsive
}

/// The next thing to do for a machine.
package enum MachineAction: Hashable, Sendable {
    /// All is as wanted.
    case nothing
    /// Nothing until then: a restart waits for its back-off.
    case wait(until: Timestamp)
    /// Begin a run.
    case start(StartReason)
    /// The wish for a run is fulfilled by the one that is there.
    case acknowledgeStart
    /// End the run; `forced` does not ask the guest.
    case stop(forced: Bool)
    /// Stop the CPUs.
    case pause
    /// Let the CPUs go.
    case resume
    /// There is no run and none is wanted: say so.
    case settle
    /// The machine has stopped for good and was made with `--rm`: want it deleted.
    case markForDeletion
    /// Take everything of it away.
    case delete
}

/// Why a run begins.
package enum StartReason: String, Hashable, Sendable {
    /// The user asked.
    case requested
    /// The restart policy says so.
    case policy
    /// The guest rebooted.
    case reboot
    /// A start was interrupted before the guest ran.
    case interrupted
}

extension VirtualMachine {
    /// Whether it has ended, and no restart follows by itself.
    package func isOver(at now: Timestamp) -> Bool {
        guard status.phase == .stopped || status.phase == .failed else { return false }
        switch MachinePlanner().next(spec, status, presence: .none, now: now) {
        case .nothing, .settle, .markForDeletion, .delete: return true
        case .wait, .start, .acknowledgeStart, .stop, .pause, .resume: return false
        }
    }
}

/// Decides what to do for a machine from what is wanted and what was seen: a pure function, without clock and I/O.
package struct MachinePlanner: Sendable {
    /// How restarts by policy are spaced.
    package var backoff: Backoff

    /// A planner with a back-off.
    package init(backoff: Backoff = Backoff()) { self.backoff = backoff }

    /// The next action.
    package func next(
        _ spec: MachineSpec, _ status: MachineStatus, presence: RunPresence, now: Timestamp
    ) -> MachineAction {
        if spec.deleting { return .delete }
        switch presence {
        case .none: return withoutRun(spec, status, now: now)
        case .unresponsive:
            let leave = spec.wanted == .stopped || spec.restartRequest > status.observedRestart
            return leave ? .stop(forced: true) : .nothing
        case .alive(let paused): return withRun(spec, status, paused: paused)
        }
    }

    private func withRun(_ spec: MachineSpec, _ status: MachineStatus, paused: Bool) -> MachineAction {
        if spec.restartRequest > status.observedRestart { return .stop(forced: spec.forceStop) }
        switch spec.wanted {
        case .stopped: return .stop(forced: spec.forceStop)
        case .paused: if !paused { return .pause }
        case .running: if paused { return .resume }
        }
        return spec.startRequest > status.observedStart ? .acknowledgeStart : .nothing
    }

    private func withoutRun(_ spec: MachineSpec, _ status: MachineStatus, now: Timestamp) -> MachineAction {
        let ended = status.phase == .stopped || status.phase == .failed
        switch spec.wanted {
        case .stopped:
            if !ended { return .settle }
            return spec.removeWhenStopped && status.runGeneration > 0 ? .markForDeletion : .nothing
        case .running, .paused:
            if spec.startRequest > status.observedStart || spec.restartRequest > status.observedRestart {
                return .start(.requested)
            }
            guard ended else { return .start(.interrupted) }
            guard let end = status.lastEnd else { return .nothing }
            if end == .rebooted { return .start(.reboot) }
            if spec.restart.restarts(after: end, exitCode: status.exitCode, restarts: status.restarts) {
                let due = (status.endedAt ?? now).advanced(by: backoff.delay(attempt: status.restarts))
                return due > now ? .wait(until: due) : .start(.policy)
            }
            return spec.removeWhenStopped ? .markForDeletion : .nothing
        }
    }
}
