internal import CoveyGuardProtocol
internal import CoveyModel
package import CoveySystem
internal import Glibc

/// The guard: parent of every VMM and helper of one instance. Runs on one thread, beside that of ``ConsoleDrain``.
///
/// Everything it knows it also writes to its state file; what that lacks it finds again in the control groups.
package final class Guard {
    /// Answers one request, once.
    typealias Reply = (GuardResponse) -> Void

    let options: GuardOptions
    let bootID: String
    let loop: EventLoop
    let groups: ControlGroups
    let drain: ConsoleDrain
    let lock: FileDescriptor
    let listener: FileDescriptor
    private let signals: SignalDescriptor

    var table = ProcessTable()
    /// The descriptors of what runs.
    var live: [String: LiveProcess] = [:]
    var waiters: [String: [(connection: UInt64, packet: UInt64, reply: Reply)]] = [:]
    /// Processes that have ended and whose logs are being drained, with the pipes that are not done.
    var draining: [String: Set<String>] = [:]
    /// Of these, the ones whose end was told without waiting any longer.
    var announced: Set<String> = []
    /// Limits that were refused, a sentence each.
    var refusedLimits: Set<String> = []
    var connections: [UInt64: GuardConnection] = [:]
    var nextConnection: UInt64 = 0
    /// Set while the guard is about to be replaced.
    var replacing: Replacement?
    var replacements: UInt32 = 0
    /// The program that SIGHUP starts again, read before an upgrade can move it away.
    let ownPath: String

    /// Takes the lock and everything an earlier guard has left. Errors: ``ErrorCode/conflict`` where a guard runs.
    package init(_ options: GuardOptions) throws {
        self.options = options
        umask(0o077)
        try makeFolder(options.runFolder)
        try checkPrivateFolder(options.runFolder)
        ownPath = try Self.programPath()
        bootID = try currentBootID()
        lock = try Self.takeLock(options)
        raiseFileLimit()
        signals = try SignalDescriptor([SIGHUP, SIGTERM, SIGINT])
        _ = signal(SIGPIPE, SIG_IGN)
        loop = try EventLoop()
        let earlier = try Self.earlierState(options)
        groups = try ControlGroups(instance: options.instance, earlierBase: earlier?.groupBase)
        drain = ConsoleDrain(owner: loop.waker)
        if let handover = options.handover {
            listener = FileDescriptor(owning: handover.socket)
            try setCloseOnExec(handover.socket)
        } else {
            try removeFile(options.socketPath)
            listener = try listenUnix(options.socketPath, .packets)
        }
        if let earlier { try takeOver(earlier) }
        try adoptOthers()
        try save()
        loop.onWake = { [unowned self] in drainHasProgressed() }
        try loop.add(signals.raw, .readable) { [unowned self] _ in signalsArrived() }
        try loop.add(listener.raw, .readable) { [unowned self] _ in connectionsWait() }
    }

    /// Says that it is ready, and works until it is told to end.
    package func run() throws(SystemError) {
        if options.handover == nil {
            try writeAll(1, Array("covey-guard ready\n".utf8))
            if options.isDetached { try detachOutput() }
        }
        try loop.run()
    }

    /// Writes the state file.
    func save() throws(SystemError) {
        try state().save(to: options.statePath)
    }

    /// What the next guard has to know.
    func state(pipes: [String: Int32] = [:]) -> GuardState {
        GuardState(
            records: table.sorted, replacements: replacements, groupBase: groups.unifiedBase, pipes: pipes)
    }

    /// Writes the state file where nothing can be refused any more; the control groups know what it would lack.
    func saveOrNote() {
        do throws(SystemError) { try save() } catch { note("state not written: \(error)") }
    }

    private func signalsArrived() {
        do throws(SystemError) {
            while let signal = try signals.next() {
                if signal == SIGHUP {
                    replace(by: ownPath) { response in
                        if case .failure(let error) = response { note("not replaced: \(error)") }
                    }
                } else {
                    try end()
                }
            }
        } catch { note("\(error)") }
    }

    /// Ends. Machines go on, and the next guard takes them over; where there are none, nothing is left.
    private func end() throws(SystemError) {
        defer { loop.stop() }
        if table.records.isEmpty, try groups.removeAll() {
            try removeFile(options.socketPath)
            try removeFile(options.statePath)
        }
    }

    private func connectionsWait() {
        do throws(SystemError) {
            while let socket = try acceptUnix(listener.raw) {
                let peer = try PeerCredentials(of: socket.raw)
                guard peer.user == 0 || peer.user == geteuid() else {
                    note("refused a connection of uid \(peer.user)")
                    continue
                }
                nextConnection += 1
                let number = nextConnection
                let connection = try GuardConnection(consume socket, loop: loop)
                connections[number] = connection
                connection.onRequest = { [unowned self] id, request, descriptors in
                    handle(request, descriptors, connection: number, packet: id)
                }
                connection.onEnd = { [unowned self] in connectionEnded(number) }
            }
        } catch { note("\(error)") }
    }

    private func connectionEnded(_ number: UInt64) {
        connections[number] = nil
        for name in waiters.keys.sorted() { waiters[name]?.removeAll { $0.connection == number } }
    }

    private func handle(
        _ request: GuardRequest, _ descriptors: ReceivedDescriptors, connection number: UInt64, packet: UInt64
    ) {
        let reply: Reply = { [unowned self] response in connections[number]?.send(response.encoded(id: packet)) }
        switch request {
        case .hello:
            reply(
                .hello(
                    GuardFacts(
                        protocolVersion: GuardProtocol.version, programVersion: CoveyVersion.current,
                        instance: "\(options.instance)", pid: getpid(), replacements: replacements)))
        case .spawn(let spawn): reply(answer { .process(try start(spawn, descriptors)) })
        case .list(let after): reply(list(after: after))
        case .wait(let name): wait(name, connection: number, packet: packet, reply)
        case .cancelWait(let id):
            for name in waiters.keys.sorted() {
                waiters[name]?.removeAll { $0.connection == number && $0.packet == id }
            }
        case .signal(let name, let signal): reply(answer { try send(signal, to: name) })
        case .kill(let name): kill(name, reply)
        case .forget(let name): forget(name, reply)
        case .limitations: reply(.limitations(groups.limitations + refusedLimits.sorted()))
        case .replace(let path): replace(by: path, reply)
        case .shutdown: reply(answer { try shutDown() })
        }
    }

    private func answer(_ body: () throws -> GuardResponse) -> GuardResponse {
        do { return try body() } catch { return .failure(.wrapping(error)) }
    }

    private func list(after: String) -> GuardResponse {
        let rest = table.sorted.drop { $0.name <= after }
        let part = rest.prefix(GuardProtocol.mostProcessesInList)
        return .processes(part.map(\.process), more: part.count < rest.count)
    }

    private func wait(_ name: String, connection: UInt64, packet: UInt64, _ reply: @escaping Reply) {
        guard let record = table[name] else { return reply(.failure(.notFound("process", name))) }
        if record.hasEnded && (draining[name] == nil || announced.contains(name)) {
            return reply(.process(record.process))
        }
        waiters[name, default: []].append((connection, packet, reply))
    }

    private func send(_ signal: Int32, to name: String) throws -> GuardResponse {
        guard (1...64).contains(signal) else { throw CoveyError(.invalid, "there is no signal \(signal)") }
        guard table[name] != nil else { throw CoveyError.notFound("process", name) }
        do throws(SystemError) { try live[name]?.descriptor.send(signal) } catch {
            guard error.isErrno(ESRCH) else { throw error }
        }
        return .done
    }

    private func shutDown() throws -> GuardResponse {
        guard table.records.isEmpty else {
            throw CoveyError(
                .conflict, "the guard still has \(table.records.count) processes",
                remedy: "stop the machines first; the guard must outlive them")
        }
        guard try groups.removeAll() else {
            throw CoveyError(.conflict, "control groups of this instance are in use")
        }
        try removeFile(options.socketPath)
        try removeFile(options.statePath)
        loop.stop()
        return .done
    }
}
