internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Logging

extension MachineWorker {
    /// What a guest said of its readiness when it was reached.
    enum FoundReadiness { case reached, unknown }

    /// What the machine is for has begun: its program or its init runs, or it serves execs.
    func started(_ found: FoundReadiness) async throws {
        guard let active = run else { return }
        guard !active.serving else {
            if found == .reached { try await becomeReady() }
            return
        }
        run?.serving = true
        run?.servingAt = host.clock.uptime()
        readiness.notify()
        let machine = try await host.repositories.machines.get(id)
        // A machine that was ready before this daemon came is so; what was said since is told again.
        let wasReady = machine.status.conditions.contains {
            $0.type == "Ready" && $0.state == .yes && active.resumedAt == nil
        }
        if found == .reached || wasReady || active.awaits == nil {
            return try await becomeReady()
        }
        try await host.repositories.machines.updateStatus(id) { [now = host.clock.now()] status in
            status.conditions.set(
                Condition(
                    type: "Ready", state: .no, reason: "Starting", message: machine.spec.waitsFor(active.problem),
                    since: now))
            status.conditions.clear("GuestReachable")
        }
        wake(after: host.settings.stableRun)
    }

    /// The machine is what its spec calls ready.
    func becomeReady() async throws {
        guard let active = run, !active.ready else { return }
        guard active.serving else { return try await started(.reached) }
        run?.ready = true
        readiness.notify()
        let now = host.clock.now()
        let readyAt = host.clock.uptime()
        try await host.repositories.machines.updateStatus(id) { status in
            status.conditions.set(
                Condition(type: "Ready", state: .yes, reason: "Started", message: "the machine is ready", since: now))
            status.conditions.clear("GuestReachable")
            guard let resumed = active.resumedAt, let answered = active.answeredAt, let serving = active.servingAt
            else { return }
            let total = answered - resumed
            // The guest's clock begins some time after its first instruction: only differences of it count.
            let agent = min(active.agentTook ?? .zero, total)
            status.timeline += [
                TimelineStage(stage: "kernel", milliseconds: (total - agent).wholeMilliseconds),
                TimelineStage(stage: "agent", milliseconds: agent.wholeMilliseconds),
                TimelineStage(stage: "ready", milliseconds: (serving - answered).wholeMilliseconds),
            ]
            guard let awaited = active.awaits else { return }
            let stage = TimelineStage(stage: awaited.stage, milliseconds: (readyAt - serving).wholeMilliseconds)
            status.timeline.insert(stage, at: status.timeline.count - 1)
        }
        wake(after: host.settings.stableRun)
    }

    /// The guest says why the machine is not ready yet.
    func notReady(_ why: String) async throws {
        guard let active = run, !active.ready else { return }
        run?.problem = why
        guard active.serving else { return }
        try await host.repositories.machines.updateStatus(id) { [now = host.clock.now()] status in
            status.conditions.set(
                Condition(
                    type: "Ready", state: .no, reason: "ProbeFails", message: "not ready yet: \(why)", since: now))
        }
    }
}

extension MachineSpec {
    /// What a guest is asked to find out; nil where the mere beginning of what the machine is for makes it ready.
    func readiness(_ purpose: GuestPurpose, _ abilities: GuestAbilities) -> GuestReadiness? {
        guard abilities.contains(.readiness) else { return nil }
        switch (ready, purpose) {
        case (.booted, _), (.agent, _), (.image, .program), (.image, .idle): return nil
        case (.probe, _): return readyProbe.map { .probe($0) }
        case (.image, .imageInit): return .initSystem
        }
    }

    /// What it waits for, for people.
    func waitsFor(_ problem: String?) -> String {
        if let problem { return "not ready yet: \(problem)" }
        switch ready {
        case .probe: return "not ready yet: \(readyProbe?.action.description ?? "its probe") has not succeeded"
        case .image: return "the image's init starts what it was told to"
        case .booted, .agent: return "the guest agent has not answered yet"
        }
    }
}

extension GuestReadiness {
    /// What the time is called from the beginning of what the machine is for until it is ready.
    fileprivate var stage: String {
        switch self {
        case .initSystem: "init"
        case .probe: "probe"
        }
    }
}
