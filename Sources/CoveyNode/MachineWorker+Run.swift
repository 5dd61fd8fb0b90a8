internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM
internal import Logging

extension MachineWorker {
    /// Takes one letter in; letters of older runs are dropped.
    func absorb(_ letter: WorkerLetter) async throws {
        switch letter {
        case .look: break
        case .operation(let operation): try await take(operation)
        case .vmm(let generation, let event) where generation == run?.generation: try await seen(event)
        case .connected(let generation) where generation == run?.generation: try await connected()
        case .guest(let generation, let event) where generation == run?.generation: try await said(event)
        case .recorded(let generation, let exec, let code) where generation == run?.generation:
            try await recorded(exec, code)
        case .guestLost(let generation) where generation == run?.generation:
            if run?.session == nil { try await finishLost(try await channels.unfinished(id)) }
        case .vmm, .connected, .guest, .recorded, .guestLost: break
        }
    }

    private func seen(_ event: VMMEvent) async throws {
        switch event {
        case .resumed: run?.paused = false
        case .paused: run?.paused = true
        case .guestPoweredOff: run?.seen = .poweredOff
        case .guestReset: run?.seen = .crashed
        case .guestChannel(let open): if !open { try await guestLeft() }
        case .exited(let exit): try await ended(exit)
        }
    }

    /// No program in the guest has the channel open any more: its agent was killed, unless the machine goes down.
    private func guestLeft() async throws {
        guard let active = run, active.serving, !active.isGoingDown else { return }
        // What this session was told last will never be continued; the link waits for the next agent.
        await active.session?.close()
        run?.session = nil
        readiness.notify()
        try await unreachable(
            CoveyError(
                .unavailable, "the guest agent has ended",
                remedy: "the machine goes on; restart it where no agent comes back"))
        // A machine that ends says so itself within moments, and then its programs ended with it.
        run?.guestAlarm?.cancel()
        run?.guestAlarm = Task { [mailbox, host] in
            do { try await host.clock.sleep(.seconds(5)) } catch { return }
            mailbox.post(.guestLost(active.generation))
        }
    }

    /// An agent has ended and with it what it knew of programs: says so to those who follow them.
    private func finishLost(_ lost: [String], but known: Set<String> = []) async throws {
        for exec in lost where !known.contains(exec) {
            try await channels.channel(id, exec).lose(
                "the guest agent has ended, and with it the way to this program", code: 125)
        }
    }

    /// The guest agent was reached: it is told what the machine is for, and its execs are recorded again.
    private func connected() async throws {
        guard let session = link?.session, let active = run else { return }
        let recorded = session.hello.configured ? try await channels.unfinished(id) : []
        run?.guestAlarm?.cancel()
        run?.session = session
        let hello = session.hello
        run?.telling?.cancel()
        run?.guestName = hello.configured ? hello.hostname ?? "" : nil
        if active.answeredAt == nil {
            run?.answeredAt = host.clock.uptime()
            if let from = hello.timings.agentStarted, let to = hello.timings.rootMounted { run?.agentTook = to - from }
            logger.debug(
                "guest answered",
                metadata: [
                    "agent": "\(hello.timings.agentStarted?.text ?? "-")",
                    "modules": "\(hello.timings.modulesLoaded?.text ?? "-")",
                    "root": "\(hello.timings.rootMounted?.text ?? "-")",
                ])
        }
        guard let machine = try? await host.repositories.machines.get(id) else { return }
        do {
            if let problem = hello.problem { throw problem }
            let image = try await image(of: machine)
            let purpose = purpose(of: machine.spec, image)
            run?.awaits = machine.spec.readiness(purpose, hello.abilities)
            if !hello.configured {
                try await session.configure(
                    GuestConfiguration(
                        hostname: machine.metadata.name, clock: host.clock.now(), purpose: purpose,
                        environment: host.settings.proxyEnvironment.merging(machine.spec.environment) { $1 },
                        image: image, mounts: try await guestMounts(machine, hello.abilities),
                        network: try await guestNetwork(machine, hello.abilities),
                        certificates: hello.abilities.contains(.certificates) ? host.settings.certificates : [],
                        readiness: run?.awaits))
                run?.guestName = machine.metadata.name
            } else {
                try await session.setClock(host.clock.now())
                try await started(hello.ready ? .reached : .unknown)
            }
            if case .program = purpose { record(mainExecID, session, generation: active.generation) }
            if hello.configured {
                let execs = try await session.execs()
                for exec in execs where exec.id != mainExecID && !exec.id.hasPrefix(GuestShell.idPrefix) {
                    record(exec.id, session, generation: active.generation)
                }
                try await finishLost(recorded, but: Set(execs.map(\.id)))
                if machine.status.conditions.contains(where: { $0.type == "GuestReachable" }) {
                    try await host.repositories.machines.updateStatus(id) { $0.conditions.clear("GuestReachable") }
                }
            }
        } catch {
            try await unreachable(CoveyError.wrapping(error))
            if !hello.configured { try await refused(CoveyError.wrapping(error)) }
        }
    }

    /// What the guest says by itself.
    private func said(_ event: GuestEvent) async throws {
        switch event {
        case .configured, .execEnded: break
        case .started: try await started(.unknown)
        case .ready: try await becomeReady()
        case .notReady(let why): try await notReady(why)
        case .rebooting: run?.announced = .rebooted
        case .goingDown: run?.orderly = true
        case .poweringOff: if run?.announced == nil { run?.announced = .poweredOff }
        case .ended(let error):
            run?.session = nil
            readiness.notify()
            if let error, run?.isGoingDown == false { try await unreachable(error) }
        }
    }

    private func unreachable(_ error: CoveyError) async throws {
        logger.warning("guest agent not reachable", metadata: ["error": "\(error)"])
        try await host.repositories.machines.updateStatus(id) { [now = host.clock.now()] status in
            status.conditions.set(
                Condition(
                    type: "GuestReachable", state: .no, reason: error.code.rawValue, message: error.description,
                    since: now))
        }
    }

    /// Records an exec until it has ended; nothing where that is done already.
    ///
    /// - Parameter stream: Attached to the exec from its first byte; nil attaches.
    func record(
        _ exec: String, _ session: any GuestSession, stream: (any GuestExecStream)? = nil, generation: Int64
    ) {
        run?.recorders[exec]?.cancel()
        let channel = channels.channel(id, exec)
        let (mailbox, logger) = (mailbox, logger)
        run?.recorders[exec] = Task {
            do {
                let code = try await channel.record(session, stream)
                mailbox.post(.recorded(generation, exec, code))
            } catch {
                logger.debug("recording interrupted", metadata: ["exec": "\(exec)", "error": "\(error)"])
            }
        }
    }

    /// An exec has ended and all of its output is on disk: now the guest may forget it.
    private func recorded(_ exec: String, _ code: Int32) async throws {
        run?.recorders[exec] = nil
        if exec == mainExecID {
            run?.programExit = code
            try await host.repositories.machines.updateStatus(id) { $0.exitCode = code }
            try host.faults.reach("run.programEnded")
        }
        do {
            try await run?.session?.acknowledge(exec)
        } catch {
            logger.debug("exec not acknowledged", metadata: ["exec": "\(exec)", "error": "\(error)"])
        }
    }

    private func image(of machine: VirtualMachine) async throws -> ImageConfiguration {
        guard let imageID = machine.spec.imageID else { return ImageConfiguration() }
        return try await host.repositories.images.get(imageID).status.configuration
    }

    /// The program where there is one; else the image's init, else its entrypoint, else nothing but execs.
    private func purpose(of spec: MachineSpec, _ image: ImageConfiguration) -> GuestPurpose {
        if let program = spec.program { return .program(program) }
        if let path = image.initPath { return .imageInit(path: path) }
        guard !image.entrypoint.isEmpty || image.hasOwnProgram else { return .idle }
        return .program(Program(arguments: image.entrypoint + image.command))
    }
}
