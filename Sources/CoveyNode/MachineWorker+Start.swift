internal import CoveyGuestProtocol
internal import CoveyImages
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM
internal import Logging

extension MachineWorker {
    /// Begins a run: image, kernel, disk, intent, launch with stopped CPUs, handle, guest let go; each with its undo.
    ///
    /// Returns false where it has to wait for an image or a kernel.
    func start(_ machine: VirtualMachine, _ reason: StartReason) async throws -> Bool {
        let stages = Stopwatch(host.clock.uptime)
        let undo = UndoList()
        do {
            guard let artifacts = try await artifacts(machine), try await volumesReady(machine) else { return false }
            stages.lap("image")
            try host.faults.reach("start.image")
            try await channels.beginRun(id)
            try await beginStart(machine, reason)
            if host.loans.isLent(id) { return false }
            let disk = try await prepareDisk(machine, artifacts.image)
            let hostKey = try await storedHostKey()
            stages.lap("disk")
            try host.faults.reach("start.disk")

            let (begun, intent) = try await host.repositories.runs.begin(id)
            let generation = intent.generation
            undo.add { [host, id] in
                try await host.repositories.runs.finish(host.node, id, generation: generation)
                try await host.repositories.runs.forget(host.node, id, generation: generation)
            }
            try host.faults.reach("start.intent")
            let further = try await furtherDisks(begun)
            try host.faults.reach("start.volumes")
            let interfaces = try await networks.carry(begun)
            undo.add { [networks, id] in await networks.release(id) }
            if !interfaces.isEmpty { stages.lap("network") }
            try host.faults.reach("start.network")
            let driver = try host.driver(machine.spec.driver)
            let plan = try await plan(begun, artifacts, disk, further, interfaces, generation, driver)
            undo.add { [host, plan] in try await host.pool.run { try removeTree(plan.runFolder) } }
            try await host.pool.run { [host, id] in
                try makeFolder(plan.runFolder)
                try makeFolder(host.layout.logs(id))
            }
            try host.faults.reach("start.folders")
            let vmm = try await driver.launch(plan)
            undo.add { try await driver.destroy(vmm.handle) }
            try host.faults.reach("start.launched")
            try await host.pool.run { [host, id] in try HandleFile.write(vmm.handle, to: host.layout.handle(id)) }
            undo.add { [host, id] in try await host.pool.run { try removeFile(host.layout.handle(id)) } }
            try host.faults.reach("start.handle")
            stages.lap("vmm")
            _ = try await host.repositories.runs.markRunning(id, generation: generation) {
                [laps = stages.laps] status in
                try status.move(to: .starting)
                status.pid = vmm.handle.process.pid
                status.driver = driver.name
                status.accel = plan.accelerator
                status.timeline = laps
                if status.sshHostKey == nil || hostKey.isNew { status.sshHostKey = hostKey.publicLine }
                status.volumes = begun.spec.volumes.compactMap(\.volumeID)
            }
            try host.faults.reach("start.recorded")
            attach(vmm, generation: generation)
            undo.add { [weak self] in await self?.detachRun() }
            let resumedAt = host.clock.uptime()
            try await vmm.resume()
            run?.resumedAt = resumedAt
            undo.clear()
            try host.faults.reach("start.resumed")
        } catch let fault as FaultInjected {
            throw fault
        } catch {
            let left = await undo.run()
            for failure in left { logger.error("undo failed", metadata: ["error": "\(failure)"]) }
            let problem = CoveyError.wrapping(error)
            if retries(problem, unsettled: !left.isEmpty) { return false }
            try await startFailed(machine, problem)
            return true
        }
        startTries = 0
        try await host.repositories.machines.updateStatus(id) { [now = host.clock.now()] status in
            try status.move(to: .running)
            status.startedAt = now
            status.conditions.set(
                Condition(
                    type: "Ready", state: .no, reason: "Booting", message: "the guest agent has not answered yet",
                    since: now))
        }
        wake(after: host.settings.readyLimit)
        return true
    }

    /// Whether a start that failed is tried again: what failed may have been the guard or the store going away for a
    /// moment, which is no fault of the machine's.
    private func retries(_ problem: CoveyError, unsettled: Bool) -> Bool {
        let isUnknown = problem.code == .outcomeUnknown || unsettled
        guard problem.code == .unavailable || isUnknown, startTries < MachineWorker.mostStartTries else {
            startTries = 0
            return false
        }
        startTries += 1
        // What may be there still is found in the way that a new daemon would find it.
        if isUnknown { recovered = false }
        logger.warning("start put off", metadata: ["error": "\(problem)", "try": "\(startTries)"])
        wake(after: .milliseconds(100 << (startTries * 2 - 2)))
        return true
    }

    /// So often a start is tried again, over nine seconds.
    private static let mostStartTries = 4

    /// Drops what was attached without ending it, for an undo.
    func detachRun() async {
        await run?.release()
        run = nil
        link = nil
    }

    /// Holds a VMM and listens to it and to its guest.
    func attach(_ vmm: any RunningVMM, generation: Int64) {
        let mailbox = mailbox
        let events = Task {
            for await event in vmm.events { mailbox.post(.vmm(generation, event)) }
        }
        let link = GuestLink(connector: host.guests, socket: vmm.handle.guestSocket, clock: host.clock)
        let linked = Task { await link.run(generation: generation, mailbox: mailbox) }
        self.link = link
        run = ActiveRun(generation: generation, vmm: vmm, events: events, link: linked)
    }

    private struct Artifacts {
        var image: StoredImage
        var kernel: StoredKernel
        var configuration: ImageConfiguration
    }

    /// Image and kernel on this node; nil while they are being made, which brings a letter when it is over.
    private func artifacts(_ machine: VirtualMachine) async throws -> Artifacts? {
        guard let imageID = machine.spec.imageID, let kernelID = machine.spec.kernelID else {
            throw CoveyError(.internalError, "vm \(machine.metadata.name) names no image or kernel by id")
        }
        let image = try await host.repositories.images.get(imageID)
        let kernel = try await host.repositories.kernels.get(kernelID)
        for (state, error, reference) in [
            (image.status.state, image.status.lastError, ResourceReference("image", image.metadata.name)),
            (kernel.status.state, kernel.status.lastError, ResourceReference("kernel", kernel.metadata.name)),
        ] {
            switch state {
            case .ready: continue
            case .pending, .building: return nil
            case .failed:
                throw CoveyError(
                    .failure, "\(reference) could not be made", remedy: error?.remedy, resource: reference,
                    cause: error)
            case .deleting: throw CoveyError(.conflict, "\(reference) is being deleted", resource: reference)
            }
        }
        // Both are asked for before either is waited for.
        let (storedImage, storedKernel) = (try await host.local(image), try await host.local(kernel))
        guard let storedImage, let storedKernel else { return nil }
        return Artifacts(image: storedImage, kernel: storedKernel, configuration: image.status.configuration)
    }

    private func beginStart(_ machine: VirtualMachine, _ reason: StartReason) async throws {
        try await host.repositories.machines.updateStatus(id) { status in
            if status.phase == .pending { try status.move(to: .scheduled) }
            if status.phase == .starting { status.phase = .unknown }
            try status.move(to: .preparing)
            switch reason {
            case .requested: status.restarts = 0
            case .policy: status.restarts += 1
            case .reboot, .interrupted: break
            }
            status.observedStart = machine.spec.startRequest
            status.observedRestart = machine.spec.restartRequest
            status.observedGeneration = machine.metadata.generation
            status.lastEnd = nil
            status.lastError = nil
            status.exitCode = nil
            status.endedAt = nil
            status.timeline = []
            status.conditions.clear("GuestReachable")
            status.conditions.clear("Handle")
        }
    }

    private func prepareDisk(_ machine: VirtualMachine, _ image: StoredImage) async throws -> RootDisk {
        try await host.pool.run { [host, id] in try makeFolder(host.layout.folder(id)) }
        return try await host.disks.create(at: host.layout.disk(id), over: image, size: machine.spec.disk)
    }

    private func plan(
        _ machine: VirtualMachine, _ artifacts: Artifacts, _ disk: RootDisk, _ further: [DiskPlan],
        _ interfaces: [InterfacePlan], _ generation: Int64, _ driver: any VMMDriver
    ) async throws -> LaunchPlan {
        let format: DiskPlan.Format =
            switch disk.format {
            case .raw: .raw
            case .qcow2: .qcow2
            }
        let wanted = machine.spec.accel == .auto ? host.settings.accelerator : machine.spec.accel
        return LaunchPlan(
            machine: id, name: machine.metadata.name, instance: host.instance, runGeneration: generation,
            accelerator: try await driver.accelerator(wanted), cpus: machine.spec.cpus, memory: machine.spec.memory,
            kernel: artifacts.kernel.elf, initramfs: artifacts.kernel.initramfs,
            disks: [
                DiskPlan(
                    path: disk.path, format: format, backing: disk.backing, readOnly: false, serial: "covey-root",
                    isDevice: disk.isDevice),
                DiskPlan(path: artifacts.kernel.tools, format: .raw, readOnly: true, serial: "covey-tools"),
            ] + further, diskLimit: machine.spec.diskLimit, interfaces: interfaces,
            runFolder: host.layout.runFolder(id, generation), memoryFile: host.layout.memoryFile(id, generation),
            consoleLog: host.layout.console(id), consoleLimit: host.settings.consoleLimit,
            user: host.user(slot: try await host.repositories.machines.uidSlot(id)))
    }

    /// A start that came to nothing: said in the status, and a machine that was just made is taken away again.
    private func startFailed(_ machine: VirtualMachine, _ error: CoveyError) async throws {
        logger.error("start failed", metadata: ["error": "\(error)"])
        try await host.repositories.machines.updateStatus(id) { [now = host.clock.now()] status in
            status.observedStart = machine.spec.startRequest
            status.observedRestart = machine.spec.restartRequest
            status.observedGeneration = machine.metadata.generation
            try status.move(to: .failed)
            status.lastEnd = .startFailed
            status.lastError = error
            status.endedAt = now
            status.pid = nil
        }
        try await channels.finishAll(id, code: 125, reason: error)
        try await failCreation(error)
    }
}

/// Measures the stages of a start.
final class Stopwatch {
    private let uptime: @Sendable () -> Duration
    private var last: Duration
    private(set) var laps: [TimelineStage] = []

    init(_ uptime: @escaping @Sendable () -> Duration) {
        self.uptime = uptime
        last = uptime()
    }

    /// Ends a stage; one with the same name goes on.
    func lap(_ stage: String) {
        let now = uptime()
        laps.append(TimelineStage(stage: stage, milliseconds: (now - last).wholeMilliseconds))
        last = now
    }
}
