internal import CoveyModel
internal import CoveySystem
package import CoveyVMM

extension QEMUDriver {
    package func launch(_ plan: LaunchPlan) async throws -> any RunningVMM {
        guard let binary = QEMUBinary.find(binary) else {
            throw CoveyError(
                .unsupported, "\(self.binary ?? QEMUBinary.name) is not installed",
                remedy: "apt-get install qemu-system-x86")
        }
        try Self.check(plan)
        let undo = UndoList()
        do {
            return try await start(plan, binary, undo)
        } catch {
            // Undone in a task of its own, awaited here, since the caller's may have been cancelled.
            let failures = await Task { await undo.run() }.value
            var error = CoveyError.wrapping(error)
            error.causes += failures.map { "not undone: \($0)" }
            throw error
        }
    }

    /// What a plan must not ask. Errors: ``ErrorCode/invalid``.
    static func check(_ plan: LaunchPlan) throws(CoveyError) {
        guard plan.accelerator != .auto else {
            throw CoveyError(.invalid, "the plan of machine \(plan.name) names no accelerator")
        }
        guard (1...255).contains(plan.cpus) else {
            throw CoveyError(.invalid, "\(plan.cpus) CPUs cannot be had", remedy: "ask for 1 to 255")
        }
        guard plan.memory >= .mebibytes(32), plan.memory.bytes % (1 << 20) == 0 else {
            throw CoveyError(
                .invalid, "\(plan.memory) of memory cannot be had", remedy: "ask for whole MiB, at least 32M")
        }
        guard plan.user != 0 else { throw CoveyError(.invalid, "a VMM never runs as root") }
        for disk in plan.disks where disk.serial.utf8.count > 20 {
            throw CoveyError(.invalid, "the serial \(disk.serial) is longer than 20 bytes")
        }
        for disk in plan.disks where disk.backing != nil && disk.format != .qcow2 {
            throw CoveyError(.invalid, "the raw disk \(disk.path) cannot stand on another file")
        }
        for interface in plan.interfaces {
            guard (68...65_535).contains(interface.mtu), interface.mac.isUnicast else {
                throw CoveyError(
                    .invalid,
                    "no interface can have the address \(interface.mac) with packets of \(interface.mtu) bytes")
            }
        }
    }

    private func start(_ plan: LaunchPlan, _ binary: String, _ undo: UndoList) async throws -> QEMUMachine {
        let tsc = plan.accelerator == .tcg ? try await HostClock.frequency(pool) : nil
        let (process, stream, command) = try await spawn(plan, binary, tsc, undo)
        let client = QMPClient(stream)
        let watch = ExitWatch(plan.processName, supervisor) { client.close() }
        do {
            let version = try await client.handshake(within: deadlines.ready)
            let status = try await client.execute("query-status", within: deadlines.ready)["status"]?.text
            guard status == "prelaunch" else {
                throw CoveyError(.failure, "QEMU started in state \(status ?? "unknown") instead of prelaunch")
            }
            try await client.execute("chardev-change", command.consoleWithInput, within: deadlines.ready)
            let handle = MachineHandle(plan: plan, driver: .qemu, vmmVersion: version, process: process.identity)
            undo.clear()
            return QEMUMachine(handle: handle, client: client, watch: watch, pool: pool)
        } catch {
            client.close()
            // A process that has ended says more than the connection that ended with it.
            let end = error is CancellationError ? nil : await watch.end(within: .seconds(2))
            watch.cancel()
            guard let end else { throw error }
            throw await failure(plan, end, error)
        }
    }

    /// Opens the files, connects to the control socket, whose queue holds the connection until QEMU takes it,
    /// and starts QEMU.
    private func spawn(
        _ plan: LaunchPlan, _ binary: String, _ tsc: UInt64?, _ undo: UndoList
    ) async throws -> (SupervisedProcess, ByteStream, QEMUCommandLine) {
        let numbers = DescriptorNumbers(plan)
        let files = try await pool.run { [openTap] in try LaunchFiles(plan, numbers, undo: undo, openTap: openTap) }
        let stream = try await ByteStream.connect(to: plan.controlSocket, reactor: reactor)
        let command = QEMUCommandLine(binary: binary, plan: plan, numbers: numbers, hostTSC: tsc)
        let groups = plan.accelerator == .kvm ? try await pool.run { KVMDevice.probe().groups } : []
        let request = SpawnRequest(
            name: plan.processName, arguments: command.arguments, user: plan.user, groups: groups,
            descriptors: files.descriptors,
            console: ConsoleLog(number: numbers.console, path: plan.consoleLog, limit: plan.consoleLimit),
            errorLog: plan.errorLog, limits: Self.limits(plan))
        let name = plan.processName
        undo.add { [self] in try await end(name) }
        do {
            let process = try await withDeadline(deadlines.supervisor, "starting QEMU") { [supervisor] in
                try await supervisor.spawn(request)
            }
            return (process, stream, command)
        } catch let error as CoveyError where error.code == .conflict {
            // Somebody else's process has the name, and must not be ended.
            undo.dropLast()
            throw error
        }
    }

    /// The guest's memory counts as QEMU's, and so do its translation cache, heap and the page tables of both.
    static func limits(_ plan: LaunchPlan) -> ResourceLimits {
        let overhead = ByteCount.mebibytes(256).bytes + ByteCount.mebibytes(16).bytes * Int64(plan.cpus)
        let cache = plan.accelerator == .kvm ? 0 : QEMUCommandLine.translationCache.bytes
        let tables = plan.memory.bytes / 128
        // A thread a CPU, up to 64 for the disks, and a handful of QEMU's own.
        return ResourceLimits(
            memory: ByteCount(plan.memory.bytes + overhead + cache + tables), tasks: plan.cpus + 96, openFiles: 1024)
    }

    /// What QEMU said before it ended, with the files' names instead of descriptors.
    private func failure(_ plan: LaunchPlan, _ end: ExitWatch.End, _ error: any Error) async -> CoveyError {
        let how =
            switch end.status {
            case .exited(let status): "ended with status \(status)"
            case .signalled(let signal): "was ended by signal \(signal)"
            case nil: "ended"
            }
        let log: [UInt8]
        do { log = try await pool.run { try readFile(plan.errorLog, limit: 1 << 20) } } catch { log = [] }
        let text = Self.readable(String(decoding: log.suffix(4096), as: UTF8.self), plan)
        guard !text.isEmpty else {
            return CoveyError(.failure, "QEMU \(how) before it answered", cause: error)
        }
        return CoveyError(
            .failure, "QEMU \(how): \(text)",
            remedy: "covey doctor shows what this host lacks; a damaged kernel or image can be imported again")
    }

    /// The last lines of a log, with the program's name and option taken off and descriptors shown as their files.
    static func readable(_ log: String, _ plan: LaunchPlan) -> String {
        let numbers = DescriptorNumbers(plan)
        var names: [(Int32, String)] = [
            (numbers.memory, plan.memoryFile), (numbers.kernel, plan.kernel), (numbers.initramfs, plan.initramfs),
        ]
        for (disk, number) in zip(plan.disks, numbers.disks) {
            names.append((number.file, disk.path))
            if let below = number.backing, let path = disk.backing { names.append((below, path)) }
        }
        let lines = log.split(separator: "\n").suffix(3).map { line in
            var words = line.split(separator: " ").map(String.init)
            if words.first?.hasSuffix("\(QEMUBinary.name):") == true { words.removeFirst() }
            // The option that it complains of is ours, and says nothing to the user.
            if words.first?.hasPrefix("-") == true, let option = words.firstIndex(where: { $0.hasSuffix(":") }) {
                words.removeSubrange(...option)
            }
            return words.map { word in
                for (number, path) in names {
                    for shown in ["/dev/fd/\(number)", "/dev/fdset/\(number)"] {
                        let bare = word.trimming { !($0 == "/" || $0.isNumber || $0.isLetter) }
                        if bare == shown { return path }
                    }
                }
                return word
            }.joined(separator: " ")
        }
        return lines.joined(separator: "; ")
    }
}

extension KVMDevice {
    /// The groups that a process needs to open it.
    fileprivate var groups: [UInt32] {
        switch self {
        case .works(.group(let group)): [group]
        case .works(.everyone), .works(.rootOnly), .absent, .forbidden, .failing: []
        }
    }
}

extension String {
    /// The text without the characters at both ends that match.
    fileprivate func trimming(_ matches: (Character) -> Bool) -> Substring {
        var rest = self[...]
        while let first = rest.first, matches(first) { rest.removeFirst() }
        while let last = rest.last, matches(last) { rest.removeLast() }
        return rest
    }
}
