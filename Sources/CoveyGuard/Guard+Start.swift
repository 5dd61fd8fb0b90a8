internal import CoveyGuardProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

extension Guard {
    private static let errorLogLimit = ByteCount.kibibytes(64)

    /// Starts a process: written down, then group, pipes, process, written down again. What fails is undone.
    func start(_ spawn: GuardSpawn, _ descriptors: ReceivedDescriptors) throws -> GuardedProcess {
        try spawn.check()
        guard spawn.descriptorNumbers.count == descriptors.raw.count else {
            throw CoveyError(.invalid, "\(descriptors.raw.count) descriptors came for \(spawn.descriptorNumbers.count)")
        }
        var outlets: [(outlet: Outlet, number: Int32)] = []
        if let console = spawn.console {
            outlets.append((Outlet(path: console.path, policy: .newest, limit: console.limit), console.number))
        }
        if let path = spawn.errorLog {
            outlets.append((Outlet(path: path, policy: .first, limit: Self.errorLogLimit), 2))
        }
        let record = ProcessRecord(
            name: spawn.name, mark: spawn.mark, bootID: bootID, outlets: outlets.map(\.outlet))
        let busy = draining.values.reduce(into: Set<String>()) { $0.formUnion($1) }
        if let taken = outlets.first(where: { busy.contains($0.outlet.fifo) }) {
            throw CoveyError(
                .unavailable, "log \(taken.outlet.path) is still being written", remedy: "try again shortly")
        }
        if case .repeated(let process) = try table.begin(record) { return process }
        var undo = Undo()
        undo.add { [self] in
            table.failed(spawn.name)
            saveOrNote()
        }
        do {
            try save()
            let process = try begin(spawn, descriptors, outlets, &undo)
            saveOrNote()
            return process
        } catch {
            undo.run()
            throw error
        }
    }

    private func begin(
        _ spawn: GuardSpawn, _ descriptors: ReceivedDescriptors, _ outlets: [(outlet: Outlet, number: Int32)],
        _ undo: inout Undo
    ) throws -> GuardedProcess {
        let name = spawn.name
        let limits = ControlGroupLimits(
            memory: spawn.memory, tasks: spawn.tasks.map(Int.init), milliCPUs: spawn.milliCPUs.map(Int.init))
        undo.add { [self] in
            do { _ = try groups.remove(name) } catch { note("\(error)") }
        }
        refusedLimits.formUnion(try groups.make(name, limits: limits))
        var map: [Int32: Int32] = [:]
        for (number, raw) in zip(spawn.descriptorNumbers, descriptors.raw) { map[number] = raw }
        let memberships = ReceivedDescriptors(try groups.openMembership(name))
        var readers: [(outlet: Outlet, raw: Int32)] = []
        var writers: [ReceivedDescriptors] = []
        for (outlet, number) in outlets {
            let (reader, writer) = try makeFIFO(outlet.fifo, for: outlet.policy)
            undo.add {
                _ = close(reader)
                do { try removeFile(outlet.fifo) } catch { note("\(error)") }
            }
            readers.append((outlet, reader))
            writers.append(ReceivedDescriptors([writer]))
            map[number] = writer
        }
        let plan = SpawnPlan(
            arguments: spawn.arguments, environment: spawn.environment, workingDirectory: spawn.workingDirectory,
            descriptors: map, groups: memberships.raw, rights: .confined(user: spawn.user, groups: spawn.groups),
            isIsolated: spawn.isolatesNetwork, openFiles: spawn.openFiles.map(Int.init))
        let started: SpawnedProcess
        do throws(SystemError) {
            started = try plan.start()
            writers = []
        } catch { throw explained(error, spawn) }
        let pid = started.pid
        // A child that nobody has reaped is in /proc.
        let startTime = ProcessFacts(pid: pid)?.startTime ?? 0
        table.started(name, pid: pid, startTime: startTime)
        watch(name, LiveProcess(started.takeDescriptor()))
        for (outlet, raw) in readers { drain.add(outlet, descriptor: raw, beginsAnew: outlet.policy == .first) }
        return GuardedProcess(name: name, pid: pid, startTime: startTime, bootID: bootID)
    }

    private func explained(_ error: SystemError, _ spawn: GuardSpawn) -> CoveyError {
        let program = spawn.arguments.first ?? ""
        switch (error.call, error.errno) {
        case ("execve", ENOENT):
            return CoveyError(
                .notFound, "program \(program) does not exist, or its loader does not", remedy: "install it",
                resource: ResourceReference("program", program))
        case ("execve", ENOEXEC):
            return CoveyError(.invalid, "\(program) is no program of this architecture", cause: error)
        case ("chdir", ENOENT), ("chdir", ENOTDIR):
            return CoveyError(.invalid, "process \(spawn.name) cannot start in \(spawn.workingDirectory)", cause: error)
        case (_, _): return error.coveyError.with(context: "process \(spawn.name) cannot be started")
        }
    }

    /// A pipe with a name.
    ///
    /// The writing end of standard error is open for reading too, so that its owner never lacks a reader. That of a
    /// console is for writing alone: QEMU takes no other for a log, and drops what it cannot write while no guard reads.
    private func makeFIFO(
        _ path: String, for policy: Outlet.Policy
    ) throws(SystemError) -> (reader: Int32, writer: Int32) {
        if isFIFO(path) { try removeFile(path) }
        try check("mkfifo", path) { mkfifo(path, 0o600) }
        let access: OpenFlags =
            switch policy {
            case .newest: .writeOnly
            case .first: .readWrite
            }
        do throws(SystemError) {
            let reader = try openFile(path, [.readOnly, .nonBlocking, .noFollow])
            let writer = try openFile(path, [access, .noFollow])
            return (reader.release(), writer.release())
        } catch {
            _ = unlink(path)
            throw error
        }
    }

    /// Opens the pipe of an earlier guard for reading; nil where it is gone.
    func openFIFO(_ path: String) throws(SystemError) -> Int32? {
        guard isFIFO(path) else { return nil }
        return try openFile(path, [.readOnly, .nonBlocking, .noFollow]).release()
    }

    private func isFIFO(_ path: String) -> Bool {
        var information = stat()
        return lstat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFIFO
    }

    /// Watches a process for its end.
    func watch(_ name: String, _ process: LiveProcess) {
        live[name] = process
        do throws(SystemError) {
            try loop.add(process.descriptor.raw, .readable) { [unowned self] _ in processMayHaveEnded(name) }
        } catch {
            // The kernel is out of memory: looking again is all that is left.
            note("process \(name) is not watched: \(error)")
            loop.after(.seconds(1)) { [unowned self] in
                if live[name] === process { watch(name, process) }
            }
        }
    }
}

/// What is to be done when a later step fails, newest first.
struct Undo {
    private var steps: [() -> Void] = []

    mutating func add(_ step: @escaping () -> Void) { steps.append(step) }

    mutating func run() {
        for step in steps.reversed() { step() }
        steps = []
    }
}
