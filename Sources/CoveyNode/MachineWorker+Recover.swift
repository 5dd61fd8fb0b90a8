internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM
internal import Logging

extension MachineWorker {
    /// How long a VMM may take to answer when a daemon takes it over.
    private static let adoptLimit = Duration.seconds(15)

    /// Looks at what an earlier daemon left: every run is adopted, cleaned up, or set aside.
    func recover() async throws {
        for operation in early.take(id) { try await take(operation) }
        try await takeOver()
    }

    private func takeOver() async throws {
        let machine: VirtualMachine
        do {
            machine = try await host.repositories.machines.get(id)
        } catch let error as CoveyError where error.code == .notFound {
            return
        }
        let status = machine.status
        guard status.runGeneration > 0, status.phase != .deleting else { return }
        if status.phase == .stopping, status.lastEnd != nil {
            // The end was stored, and the clean-up interrupted.
            try await cleanUp(status.runGeneration)
            return try await conclude()
        }
        switch HandleFile.read(host.layout.handle(id)) {
        case .handle(let handle): try await adopt(handle, machine)
        case .unreadable(let reason): try await setAside(machine, reason)
        case .none: try await withoutHandle(machine)
        }
    }

    private func adopt(_ handle: MachineHandle, _ machine: VirtualMachine) async throws {
        guard handle.runGeneration == machine.status.runGeneration, handle.machine == id else {
            return try await setAside(machine, "it speaks of run \(handle.runGeneration) of vm \(handle.machine)")
        }
        let driver = try host.driver(handle.driver)
        do {
            let vmm = try await withDeadline(MachineWorker.adoptLimit, "taking the VMM over") {
                try await driver.adopt(handle)
            }
            attach(vmm, generation: handle.runGeneration)
            try await adopted(vmm, machine)
        } catch let error as CoveyError where error.code == .notFound {
            try await lost(machine, handle.processName)
        } catch let error as FaultInjected {
            throw error
        } catch {
            // It runs and does not answer: left as it is, looked at again, ended only when a user wants that.
            unresponsive = "\(error)"
            try await say("VMMUnresponsive", "the VMM runs and does not answer: \(error)")
            wake(after: .seconds(10))
        }
    }

    /// The VMM is ours again. One that was killed between its handle and its first instruction is let go now.
    private func adopted(_ vmm: any RunningVMM, _ machine: VirtualMachine) async throws {
        unresponsive = nil
        if machine.spec.wanted != .paused { try await vmm.resume() }
        run?.paused = machine.spec.wanted == .paused
        let wasPaused = run?.paused == true
        _ = try await host.repositories.runs.markRunning(id, generation: vmm.handle.runGeneration) { status in
            status.pid = vmm.handle.process.pid
            status.driver = vmm.handle.driver
            status.accel = vmm.handle.accelerator
            if status.phase == .preparing || status.phase == .stopping { status.phase = .unknown }
            if status.phase == .starting { try status.move(to: .running) }
            try status.move(to: wasPaused ? .paused : .running)
            status.conditions.clear("Handle")
        }
        logger.info("adopted", metadata: ["pid": "\(vmm.handle.process.pid)"])
    }

    /// The process of a stored handle is gone.
    private func lost(_ machine: VirtualMachine, _ processName: String) async throws {
        let processes = try await host.supervisor.processes()
        let exit: ProcessExit? =
            switch processes.first(where: { $0.name == processName })?.end {
            case .known(let known): known
            case .unknown, nil: nil
            }
        let end = lostEnd(machine, exit, said: try await lastWords(machine))
        try await host.repositories.machines.updateStatus(id) { [now = host.clock.now()] status in
            status.phase = .unknown
            try status.move(to: .stopping)
            status.lastEnd = end
            status.endedAt = now
            status.pid = nil
            if end == .vmmDied {
                status.lastError = CoveyError(
                    .failure,
                    "the VMM ended while no daemon looked: \(exit.map(\.text) ?? "nobody saw how")")
            }
        }
        try await cleanUp(machine.status.runGeneration)
        try await conclude()
    }

    /// What became of a run that nobody watched: the program's code was stored if it was known.
    private func lostEnd(_ machine: VirtualMachine, _ exit: ProcessExit?, said: [VMMEvent]) -> RunEnd {
        if machine.status.exitCode != nil { return .programExited }
        if machine.spec.wanted == .stopped { return .stopped }
        if said.contains(.guestPoweredOff) { return .poweredOff }
        // Nobody heard whether the guest announced it; a reboot is what a reset means most of the time.
        if said.contains(.guestReset) { return .rebooted }
        return exit == .exited(0) ? .poweredOff : .vmmDied
    }

    /// What the VMM would have said last, where its driver can tell.
    private func lastWords(_ machine: VirtualMachine) async throws -> [VMMEvent] {
        let handle = knownHandle(machine.status.runGeneration)
        guard let driver = try host.driver(handle.driver) as? any RecollectingVMMDriver else { return [] }
        do {
            return try await withDeadline(.seconds(5), "asking how the VMM ended") {
                try await driver.lastEvents(handle)
            }
        } catch {
            logger.debug("nobody knows how the VMM ended", metadata: ["error": "\(error)"])
            return []
        }
    }

    /// A start was interrupted before its handle was stored: no guest instruction has run, so it is taken back.
    private func withoutHandle(_ machine: VirtualMachine) async throws {
        switch machine.status.phase {
        case .preparing, .starting, .scheduled, .pending:
            try await cleanUp(machine.status.runGeneration)
        case .stopped, .failed, .deleting: break
        case .running, .paused, .stopping, .unknown:
            let name = "vm-\(id)-\(machine.status.runGeneration)"
            let alive = try await host.supervisor.processes().contains { $0.name == name && $0.end == nil }
            if alive {
                try await setAside(machine, "it is missing")
            } else {
                try await lost(machine, name)
            }
        }
    }

    /// What cannot be read is left as it is, said, and ended only when a user wants that.
    private func setAside(_ machine: VirtualMachine, _ reason: String) async throws {
        unresponsive = "its handle cannot be used: \(reason)"
        try await say("HandleUnreadable", "the machine's handle cannot be used: \(reason); it was left running")
    }

    private func say(_ reason: String, _ message: String) async throws {
        logger.warning("machine set aside", metadata: ["reason": "\(message)"])
        try await host.repositories.machines.updateStatus(id) { [now = host.clock.now()] status in
            if status.phase != .unknown, status.phase != .deleting { status.phase = .unknown }
            status.conditions.set(
                Condition(type: "Handle", state: .no, reason: reason, message: message, since: now))
        }
    }

    /// Looks again at a VMM that did not answer.
    func retryAdoption() async throws {
        guard run == nil, unresponsive != nil else { return }
        if case .handle = HandleFile.read(host.layout.handle(id)) { try await takeOver() }
    }
}
