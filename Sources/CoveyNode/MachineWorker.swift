internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM
internal import Logging

/// The one that acts for a machine: takes letters, looks at what is wanted, and does the next thing.
///
/// No step waits for a guest or for another machine; what takes long comes back as a letter.
actor MachineWorker {
    let id: MachineID
    let host: MachineHost
    let networks: NetworkKeeper
    let channels: ExecChannels
    /// What was wanted of the machine before this worker was there.
    let early: EarlyOperations
    let logger: Logger
    nonisolated let mailbox = Mailbox<WorkerLetter>()
    /// Tells those who wait for the guest that something changed.
    nonisolated let readiness = Signal()

    var run: ActiveRun?
    var link: GuestLink?
    /// A VMM that is there and cannot be spoken to, and why.
    var unresponsive: String?
    var operations: [OperationID: Operation] = [:]
    private var alarm: Task<Void, Never>?
    /// Whether what an earlier daemon, or a start that could not be undone, left was looked at.
    var recovered = false
    /// How often the start that is wanted was put off.
    var startTries = 0
    private(set) var gone = false

    init(
        _ id: MachineID, host: MachineHost, networks: NetworkKeeper, channels: ExecChannels, early: EarlyOperations
    ) {
        self.id = id
        self.early = early
        self.host = host
        self.networks = networks
        self.channels = channels
        var logger = host.logger
        logger[metadataKey: "vm"] = "\(id)"
        self.logger = logger
    }

    /// Works until the machine is deleted or the task is cancelled; machines go on either way.
    func work() async {
        mailbox.post(.look)
        for await _ in mailbox.rings {
            if Task.isCancelled { break }
            do {
                try await turn()
            } catch is FaultInjected {
                break
            } catch is CancellationError {
                break
            } catch {
                logger.error("machine worker failed", metadata: ["error": "\(error)"])
                wake(after: .seconds(5))
            }
            if gone { break }
        }
        alarm?.cancel()
        await run?.release()
        await run?.vmm.detach()
        run = nil
    }

    private func turn() async throws {
        if !recovered {
            try await recover()
            recovered = true
        }
        for letter in mailbox.take() { try await absorb(letter) }
        if unresponsive != nil { try await retryAdoption() }
        // Each action changes what the next look sees; a machine that keeps moving comes back by a letter.
        for _ in 0..<8 {
            guard let machine = try await load() else {
                gone = true
                return
            }
            guard try await perform(next(machine), machine) else { break }
        }
        guard let machine = try await load() else {
            gone = true
            return
        }
        try await settleOperations(machine)
        await followName(machine)
    }

    private func load() async throws -> VirtualMachine? {
        do {
            return try await host.repositories.machines.get(id)
        } catch let error as CoveyError where error.code == .notFound {
            return nil
        }
    }

    private func next(_ machine: VirtualMachine) -> MachineAction {
        let presence: RunPresence =
            if let run { .alive(paused: run.paused) } else if unresponsive != nil { .unresponsive } else { .none }
        let planner = MachinePlanner(backoff: host.settings.backoff)
        return planner.next(machine.spec, machine.status, presence: presence, now: host.clock.now())
    }

    /// Does one action. Returns whether there may be another one at once.
    private func perform(_ action: MachineAction, _ machine: VirtualMachine) async throws -> Bool {
        switch action {
        case .nothing: return false
        case .wait(let until):
            wake(after: until.since(host.clock.now()))
            return false
        case .start(let reason): return try await start(machine, reason)
        case .acknowledgeStart:
            try await host.repositories.machines.updateStatus(id) { status in
                status.observedStart = machine.spec.startRequest
                status.observedGeneration = machine.metadata.generation
            }
            return true
        case .stop(let forced): return try await stop(machine, forced: forced)
        case .pause:
            guard let vmm = run?.vmm as? any PausableVMM else { return false }
            try await vmm.pause()
            run?.paused = true
            try await move(to: .paused)
            return true
        case .resume:
            try await run?.vmm.resume()
            run?.paused = false
            try await move(to: .running)
            return true
        case .settle:
            try await host.repositories.machines.updateStatus(id) { status in
                try status.move(to: .stopped)
                status.observedStart = machine.spec.startRequest
                status.observedRestart = machine.spec.restartRequest
                status.observedGeneration = machine.metadata.generation
            }
            return true
        case .markForDeletion:
            _ = try await host.repositories.machines.updateSpec(id) { $0.deleting = true }
            return true
        case .delete:
            try await delete(machine)
            gone = true
            return false
        }
    }

    func move(to phase: MachinePhase) async throws {
        try await host.repositories.machines.updateStatus(id) { try $0.move(to: phase) }
    }

    /// Looks again after a time, unless something else happens before.
    func wake(after delay: Duration) {
        alarm?.cancel()
        let (clock, mailbox) = (host.clock, mailbox)
        alarm = Task {
            do { try await clock.sleep(max(delay, .milliseconds(1))) } catch { return }
            mailbox.post(.look)
        }
    }
}

extension MachineStatus {
    /// Goes to a phase by the rules of ``MachineLifecycle``.
    mutating func move(to next: MachinePhase) throws {
        var life = MachineLifecycle(phase)
        try life.move(to: next)
        phase = life.phase
    }
}
