package import CoveyGuestProtocol
package import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM

extension NodeAgent {
    /// Starts a program in a machine's guest and returns its channel.
    ///
    /// Errors: ``ErrorCode/conflict`` where the machine does not run, ``ErrorCode/deadline`` where its guest does not
    /// answer.
    package func exec(_ machine: MachineID, _ request: GuestExecRequest) async throws -> ExecChannel {
        let worker = try runningWorker(machine)
        let (session, generation) = try await worker.session(within: .seconds(60))
        // A repeat of the same request finds its program recorded already.
        if let channel = channels.channels(machine).first(where: { $0.id == request.id }) { return channel }
        let journal = Journal(folder: host.layout.journal(machine, exec: request.id))
        let program = request.program
        let subject = Journal.Subject(
            arguments: program.arguments, startedAt: host.clock.now(), user: program.user, terminal: program.terminal)
        try await host.pool.run { try journal.describe(subject) }
        try await pruneRecordings(machine)
        let stream = try await session.run(request)
        return try await worker.follow(request.id, session, stream, generation: generation)
    }

    /// Removes the oldest recordings of programs that have ended, beyond the newest hundred.
    private func pruneRecordings(_ machine: MachineID) async throws {
        let (logs, channels) = (host.layout.logs(machine), channels)
        let names = try await host.pool.run { try listFolder(logs) }
        let execs = names.filter { $0.hasPrefix("exec-") && !$0.hasPrefix("exec-\(mainExecID)") }.map {
            String($0.dropFirst(5))
        }
        for exec in execs.dropLast(NodeAgent.mostRecordings) {
            let open = channels.channels(machine).first { $0.id == exec }
            if open == nil || open?.exitCode != nil { try await channels.remove(machine, exec) }
        }
    }

    /// Recordings that a machine keeps, besides that of its own program; their ids sort by their time.
    private static let mostRecordings = 100

    /// The channel of a program that runs, or ran and was recorded. Errors: ``ErrorCode/notFound``.
    package func channel(_ machine: MachineID, _ exec: String) async throws -> ExecChannel {
        if let channel = channels.channels(machine).first(where: { $0.id == exec }) { return channel }
        let recorded = Journal(folder: host.layout.journal(machine, exec: exec))
        let isRecorded = try await host.pool.run { recorded.exists }
        let record = try await host.repositories.machines.get(machine)
        let isMain = exec == mainExecID && record.spec.program != nil
        guard isRecorded || isMain else {
            throw CoveyError.notFound("exec", exec, remedy: "covey exec ls \(record.metadata.name) lists them")
        }
        return channels.channel(machine, exec)
    }

    /// The programs that run in a machine's guest, and those whose recorded end nobody has discarded.
    package func execs(_ machine: VirtualMachine) async throws -> [ExecRecord] {
        let id = machine.metadata.id
        var records = try await recordedExecs(machine)
        do {
            for info in try await runningWorker(id).session(within: .seconds(30)).session.execs()
            where !info.id.hasPrefix(GuestShell.idPrefix) {
                var record = try await host.pool.run { [host] in
                    try ExecRecord(info.id, machine, Journal(folder: host.layout.journal(id, exec: info.id)))
                }
                record.running = info.exit == nil
                record.exitCode = info.exit?.code
                records[info.id] = record
            }
        } catch let error as CoveyError where error.code == .conflict {
            // It does not run; what its programs came to was recorded.
        }
        return records.values.sorted {
            ($0.startedAt ?? .init(milliseconds: 0), $0.id) < ($1.startedAt ?? .init(milliseconds: 0), $1.id)
        }
    }

    /// The programs that have a journal, by id.
    private func recordedExecs(_ machine: VirtualMachine) async throws -> [String: ExecRecord] {
        let (layout, id) = (host.layout, machine.metadata.id)
        return try await host.pool.run {
            guard fileExists(layout.logs(id)) else { return [:] }
            var records: [String: ExecRecord] = [:]
            for name in try listFolder(layout.logs(id)) where name.hasPrefix("exec-") {
                let exec = String(name.dropFirst("exec-".count))
                let record = try ExecRecord(exec, machine, Journal(folder: layout.journal(id, exec: exec)))
                if record.exitCode != nil { records[exec] = record }
            }
            return records
        }
    }

    /// Sends a signal to a program in a guest.
    package func signal(_ machine: MachineID, exec: String, _ number: Int32) async throws {
        try await runningWorker(machine).session(within: .seconds(10)).session.signal(exec, number)
    }

    /// Removes the recording of a program that nobody will ask for again.
    package func discard(_ machine: MachineID, exec: String) async throws {
        try await channels.remove(machine, exec)
    }

    /// The pipe that a machine's serial port reads from. Errors: ``ErrorCode/conflict`` where it does not run,
    /// ``ErrorCode/unsupported`` where its VMM has none.
    package func consoleInput(_ machine: MachineID) async throws -> String {
        try await runningWorker(machine).consoleInput()
    }

    func runningWorker(_ machine: MachineID) throws -> MachineWorker {
        guard let worker = worker(machine) else { throw CoveyError.notFound("vm", "\(machine)") }
        return worker
    }
}

extension MachineWorker {
    /// The session with the guest and its run, waiting for one that is on its way up.
    func session(within limit: Duration) async throws -> (session: any GuestSession, generation: Int64) {
        if let ready = readySession { return ready }
        let machine = try await host.repositories.machines.get(id)
        guard run != nil || machine.spec.wanted == .running else {
            throw CoveyError(
                .conflict, "vm \(machine.metadata.name) is \(machine.status.phase.rawValue)",
                remedy: "covey vm start \(machine.metadata.name)", resource: ResourceReference("vm", "\(id)"))
        }
        let changes = readiness.subscribe()
        return try await withDeadline(limit, "reaching the guest agent of vm \(machine.metadata.name)") {
            if let session = await self.readySession { return session }
            for await _ in changes {
                if let session = await self.readySession { return session }
                if await self.isOver {
                    throw CoveyError(.conflict, "vm \(machine.metadata.name) ended before its guest agent answered")
                }
            }
            throw CancellationError()
        }
    }

    /// The pipe that the serial port reads from.
    func consoleInput() throws -> String {
        guard let handle = run?.vmm.handle else { throw CoveyError(.conflict, "the machine does not run") }
        guard let path = handle.consoleInput else {
            throw CoveyError(
                .unsupported, "the console of this machine takes no input: it was started by an older daemon",
                remedy: "restart the machine, or look on with --read-only")
        }
        return path
    }

    private var readySession: (session: any GuestSession, generation: Int64)? {
        guard let run, run.serving, let session = run.session else { return nil }
        return (session, run.generation)
    }

    private var isOver: Bool { gone }

    /// Records an exec that was just started in a run. One whose run is over meanwhile has ended with it.
    func follow(
        _ exec: String, _ session: any GuestSession, _ stream: any GuestExecStream, generation: Int64
    ) async throws -> ExecChannel {
        let channel = channels.channel(id, exec)
        if run?.generation != generation {
            try await channel.finish(137)
        } else if run?.recorders[exec] == nil {
            record(exec, session, stream: stream, generation: generation)
        }
        return channel
    }
}

extension ExecRecord {
    /// What a journal says of a program.
    fileprivate init(_ exec: String, _ machine: VirtualMachine, _ journal: Journal) throws {
        let subject = try journal.subject()
        let isMain = exec == mainExecID
        let code = try journal.ending()
        self.init(
            id: exec, arguments: isMain ? machine.spec.program?.arguments ?? [] : subject?.arguments ?? [],
            running: code == nil, exitCode: code,
            startedAt: isMain ? machine.status.startedAt : subject?.startedAt,
            user: isMain ? machine.spec.program?.user : subject?.user,
            terminal: isMain ? machine.spec.program?.terminal ?? false : subject?.terminal ?? false)
    }
}
