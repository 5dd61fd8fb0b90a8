internal import CoveyGuestProtocol
internal import CoveyImages
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM
internal import Logging

extension MachineWorker {
    /// How long a VMM that was killed may take to be gone.
    private static let killLimit = Duration.seconds(20)

    /// Asks the guest to go down, and forces it when the time is up. Returns whether there is something to look at.
    func stop(_ machine: VirtualMachine, forced: Bool) async throws -> Bool {
        guard let active = run else { return try await destroyUnresponsive(machine) }
        let now = host.clock.uptime()
        if let stopping = active.stopping {
            guard !stopping.forced else { return false }
            if forced || now >= stopping.deadline {
                try await force()
            } else {
                wake(after: stopping.deadline - now)
            }
            return false
        }
        run?.stopping = ActiveRun.Stopping(deadline: now + machine.spec.stopTimeout, forced: false)
        try await move(to: .stopping)
        try host.faults.reach("stop.recorded")
        if forced || machine.spec.stopTimeout <= .zero {
            try await force()
            return false
        }
        wake(after: machine.spec.stopTimeout)
        do {
            // Neither a guest nor a VMM that does not answer holds up the force that follows.
            let (limit, session, vmm, isPaused) = (
                machine.spec.stopTimeout, active.session, active.vmm, active.paused
            )
            try await withDeadline(limit, "asking the guest to go down") {
                if isPaused { try await vmm.resume() }
                if let session {
                    try await session.shutdown(.powerOff, grace: limit)
                } else {
                    try await vmm.powerDown()
                }
            }
        } catch {
            logger.info("guest did not take the stop", metadata: ["error": "\(error)"])
        }
        return false
    }

    /// Kills the VMM; its end comes as a letter.
    private func force() async throws {
        guard let active = run else { return }
        run?.stopping?.forced = true
        let name = active.vmm.handle.processName
        try await withDeadline(MachineWorker.killLimit, "killing the VMM") { [host] in
            try await host.supervisor.kill(name)
        }
    }

    private func destroyUnresponsive(_ machine: VirtualMachine) async throws -> Bool {
        guard unresponsive != nil else { return true }
        try await host.repositories.machines.updateStatus(id) { [now = host.clock.now()] status in
            try status.move(to: .stopping)
            status.lastEnd = .stopped
            status.endedAt = now
        }
        try await cleanUp(machine.status.runGeneration)
        try await conclude()
        return true
    }

    /// The VMM is gone: what became of the run is stored first, then what is left of it is removed.
    func ended(_ exit: ProcessExit?) async throws {
        guard let active = run else { return }
        await drainRecorders()
        let end = run?.end(exit) ?? .vmmDied
        let code = run?.programExit
        await run?.release()
        run = nil
        link = nil
        try await recordEnd(end, exit, code: code)
        try host.faults.reach("end.recorded")
        try await cleanUp(active.generation)
        try host.faults.reach("end.cleaned")
        try await conclude()
    }

    /// Lets recorders take what the guest still said before its end.
    private func drainRecorders() async {
        guard let main = run?.recorders[mainExecID] else { return }
        do {
            try await withDeadline(.seconds(2), "recording the last output") { await main.value }
        } catch {
            logger.debug("the last output was not recorded", metadata: ["error": "\(error)"])
        }
        for case .recorded(let generation, mainExecID, let code) in mailbox.take()
        where generation == run?.generation {
            run?.programExit = code
        }
    }

    private func recordEnd(_ end: RunEnd, _ exit: ProcessExit?, code: Int32?) async throws {
        let stable = host.settings.stableRun
        try await host.repositories.machines.updateStatus(id) { [now = host.clock.now()] status in
            try status.move(to: .stopping)
            status.lastEnd = end
            status.endedAt = now
            status.pid = nil
            if let code { status.exitCode = code }
            if let started = status.startedAt, now.since(started) > stable { status.restarts = 0 }
            switch end {
            case .crashed:
                status.lastError = CoveyError(
                    .failure, "the guest reset itself without a word: a kernel panic or a hard reset",
                    remedy: "covey logs --console shows its last lines")
            case .vmmDied:
                status.lastError = CoveyError(.failure, "the VMM ended: \(exit.map(\.text) ?? "nobody saw how")")
            case .programExited, .stopped, .poweredOff, .rebooted, .startFailed: status.lastError = nil
            }
            status.conditions.clear("Ready")
            status.conditions.clear("GuestReachable")
            status.conditions.clear("Handle")
        }
    }

    /// Removes all that a run left on the host. Needs no answer from the VMM and is idempotent.
    func cleanUp(_ generation: Int64) async throws {
        guard generation > 0 else { return }
        let handle = knownHandle(generation)
        let driver = try host.driver(handle.driver)
        try await withDeadline(MachineWorker.killLimit, "removing the VMM") { try await driver.destroy(handle) }
        try host.faults.reach("clean.destroyed")
        await networks.release(id)
        try host.faults.reach("clean.network")
        let (layout, id) = (host.layout, id)
        try await host.pool.run {
            try removeTree(layout.runFolder(id, generation))
            try removeFile(layout.memoryFile(id, generation))
        }
        try await host.disks.release(at: layout.disk(id))
        if case .unreadable = HandleFile.read(layout.handle(id)) {
            // What cannot be read is kept for who wants to look, under a name that no run uses.
            let path = layout.handle(id)
            _ = try await host.pool.run { try moveAside(path) }
        } else {
            try await host.pool.run { try removeFile(layout.handle(id)) }
        }
        try host.faults.reach("clean.files")
        unresponsive = nil
        try await host.repositories.runs.finish(host.node, id, generation: generation)
        try await host.repositories.runs.forget(host.node, id, generation: generation)
    }

    /// The handle as it was stored, or what can be said of it without one: every name carries id and generation.
    func knownHandle(_ generation: Int64) -> MachineHandle {
        if case .handle(let handle) = HandleFile.read(host.layout.handle(id)), handle.runGeneration == generation {
            return handle
        }
        let plan = LaunchPlan(
            machine: id, name: "", instance: host.instance, runGeneration: generation, accelerator: .auto, cpus: 1,
            memory: ByteCount(0), kernel: "", initramfs: "", disks: [],
            runFolder: host.layout.runFolder(id, generation), memoryFile: host.layout.memoryFile(id, generation),
            consoleLog: host.layout.console(id), user: 0)
        return MachineHandle(
            plan: plan, driver: host.drivers.first?.name ?? .qemu,
            process: ProcessIdentity(pid: 0, startTime: 0, bootID: ""))
    }

    /// The run is over and nothing of it is left.
    func conclude() async throws {
        let machine = try await host.repositories.machines.updateStatus(id) { status in
            guard status.phase == .stopping || status.phase == .unknown else { return }
            let failed = status.lastEnd == .crashed || status.lastEnd == .vmmDied
            try status.move(to: failed ? .failed : .stopped)
            status.pid = nil
        }
        try await channels.finishAll(id, code: machine.status.exitCode ?? 137)
    }

    /// Takes everything of the machine away, from any state.
    func delete(_ machine: VirtualMachine) async throws {
        try await host.repositories.machines.updateStatus(id) { try $0.move(to: .deleting) }
        try host.faults.reach("delete.recorded")
        await run?.release()
        run = nil
        link = nil
        try await cleanUp(machine.status.runGeneration)
        try host.faults.reach("delete.cleaned")
        try await channels.finishAll(id, code: machine.status.exitCode ?? 137)
        try await channels.forget(id)
        try await host.disks.remove(at: host.layout.disk(id))
        try host.faults.reach("delete.disk")
        let folder = host.layout.folder(id)
        try await host.pool.run { try removeTree(folder) }
        try host.faults.reach("delete.folder")
        try await host.repositories.machines.remove(id)
        try host.faults.reach("delete.removed")
        try await settleDeleted()
    }
}

extension ProcessExit {
    /// For people: `with status 1`, `by signal 9`.
    var text: String {
        switch self {
        case .exited(let status): "with status \(status)"
        case .signalled(let signal): "by signal \(signal)"
        }
    }
}
