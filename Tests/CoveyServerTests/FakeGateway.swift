import CoveyModel
import CoveyNetwork
import CoveyServer
import Synchronization

/// A node in memory: programs echo, logs are fixed, leaks can be purged.
final class FakeGateway: NodeGateway {
    struct State {
        var leaks = [Leak(id: "leak-1", kind: "folder", name: "/tmp/x", reason: "no record names it")]
        var spooled: [String: [SpoolPart: [UInt8]]] = [:]
        var finished: Set<String> = []
        var discarded: Set<String> = []
        var kept: [String: RegistryCredentials] = [:]
        var signals: [Int32] = []
        var commands: [ExecCommand] = []
        var streams: [MachineStream] = []
        var cancelled = 0
        var entries: [CatalogEntry] = []
        /// What lies there of no image.
        var loose: [PrunedItem] = []
        /// The images that were asked about.
        var asked: [Set<ImageID>] = []
        var networks = NetworkHostFacts(available: false, problems: ["nft is not installed"])
        var holders: [PortHolder] = []
        var listening: [ListeningPort] = []
        /// What each look at a machine sees.
        var figures: [MachineFigures] = []
    }

    let state = Mutex(State())

    func exec(
        on node: NodeID, _ machine: VirtualMachine, _ command: ExecCommand, input: ExecInputs,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws {
        state.withLock { $0.commands.append(command) }
        guard command.program.arguments.first != "missing" else {
            throw CoveyError(
                .notFound, "program missing does not exist", resource: ResourceReference("program", "missing"))
        }
        try await output(.started(command.id))
        if command.detach { return }
        try await echo(input, output, code: command.program.arguments.first == "false" ? 1 : 0)
    }

    func stream(
        on node: NodeID, _ machine: VirtualMachine, _ purpose: MachineStream,
        input: @escaping @Sendable () async throws -> [UInt8]?,
        output: @escaping @Sendable (MachineStreamOutput) async throws -> Void
    ) async throws {
        state.withLock { $0.streams.append(purpose) }
        if case .dial(.port(9)) = purpose { throw CoveyError(.unavailable, "port 9 has no listener") }
        if case .pack(let wish) = purpose { try await output(.bytes(Array(wish.path.utf8))) }
        while let bytes = try await input() { try await output(.bytes(bytes)) }
        if case .dial = purpose { try await output(.end) } else { try await output(.note("a socket was left out")) }
    }

    func attach(
        on node: NodeID, _ machine: VirtualMachine, _ command: AttachCommand, input: ExecInputs,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws {
        guard command.exec != "nobody" else { throw CoveyError.notFound("exec", command.exec) }
        if command.exec == "endless" {
            do {
                try await Task.sleep(for: .seconds(600))
            } catch {
                state.withLock { $0.cancelled += 1 }
                throw error
            }
        }
        try await output(.started(command.exec))
        try await output(.stdout(Array("kept\n".utf8)))
        try await output(.exited(ExecExit(code: 7)))
    }

    private func echo(
        _ input: ExecInputs, _ output: @Sendable (ExecOutput) async throws -> Void, code: Int32
    ) async throws {
        for try await piece in input {
            switch piece {
            case .standardInput(let bytes): try await output(.stdout(bytes))
            case .resize(let size): try await output(.stderr(Array("\(size.columns)x\(size.rows)\n".utf8)))
            case .signal(let number):
                return try await output(.exited(ExecExit(code: 128 + number, signal: number)))
            case .end: return try await output(.exited(ExecExit(code: code)))
            }
        }
    }

    func execs(on node: NodeID, _ machine: VirtualMachine) async throws -> [ExecRecord] {
        [ExecRecord(id: ExecRecord.main, arguments: ["/bin/sh"], running: true, startedAt: Timestamp(milliseconds: 5))]
    }

    func signal(on node: NodeID, _ machine: VirtualMachine, exec: String, signal: Int32) async throws {
        state.withLock { $0.signals.append(signal) }
    }

    func logs(
        on node: NodeID, _ machine: VirtualMachine, _ query: LogQuery,
        output: @escaping @Sendable (LogChunk) async throws -> Void
    ) async throws {
        switch query.source {
        case .console: try await output(LogChunk(.console, Array("console\n".utf8)))
        case .exec(let id): try await output(LogChunk(.stdout, Array("log of \(id)\n".utf8)))
        }
        if query.follow { try await Task.sleep(for: .seconds(600)) }
    }

    func console(
        on node: NodeID, _ machine: VirtualMachine, _ query: ConsoleQuery, input: ConsoleInputs,
        output: @escaping @Sendable (ConsoleOutput) async throws -> Void
    ) async throws {
        try await output(.seat(ConsoleSeat(writes: !query.readOnly, writer: query.readOnly ? "nobody" : query.who)))
        try await output(.data(Array("login: ".utf8)))
        try await output(.caughtUp)
        for try await bytes in input { try await output(.data(bytes)) }
    }

    func progress(
        on node: NodeID, of operation: OperationID,
        output: @escaping @Sendable ([OperationStage]) async throws -> Void
    ) async throws {
        try await output([OperationStage(name: "image", state: .running, done: 5, total: 10, unit: "bytes")])
    }

    func leaks(on node: NodeID) async throws -> [Leak] { state.withLock { $0.leaks } }

    func usage(on node: NodeID, without: Set<ImageID>) async throws -> NodeUsage {
        state.withLock { state in
            state.asked.append(without)
            let images = without.map { PrunedItem(kind: .image, name: "\($0)", freed: .mebibytes(3)) }
            return NodeUsage(
                figures: [DiskUsage(kind: .images, count: 2, reclaimable: ByteCount(Int64(without.count)))],
                items: images + state.loose)
        }
    }

    func collectBlobs(on node: NodeID) async throws { state.withLock { $0.loose = [] } }

    func purge(on node: NodeID, leak id: String) async throws {
        let there = state.withLock { state in
            let count = state.leaks.count
            state.leaks.removeAll { $0.id == id }
            return state.leaks.count < count
        }
        if !there { throw CoveyError.notFound("leak", id) }
    }

    func openSpool(on node: NodeID, name: String) async throws -> SpoolToken {
        let token = SpoolToken(token: "abc123", name: name)
        state.withLock { $0.spooled[token.token] = [:] }
        return token
    }

    func append(on node: NodeID, to spool: SpoolToken, _ part: SpoolPart, _ bytes: [UInt8]) async throws {
        state.withLock { $0.spooled[spool.token]?[part, default: []] += bytes }
    }

    func appendZeros(on node: NodeID, to spool: SpoolToken, _ part: SpoolPart, _ count: Int64) async throws {
        state.withLock {
            $0.spooled[spool.token]?[part, default: []] += [UInt8](repeating: 0, count: Int(count))
        }
    }

    func catalogEntries(on node: NodeID, of catalog: String?, insecure: Bool) async throws -> [CatalogEntry] {
        let all = state.withLock { $0.entries }
        guard let catalog else { return all }
        let mine = all.filter { $0.catalog == catalog }
        guard !mine.isEmpty else { throw CoveyError.notFound("catalog", catalog) }
        return mine
    }

    func finishSpool(on node: NodeID, _ spool: SpoolToken) async throws {
        state.withLock { _ = $0.finished.insert(spool.token) }
    }

    func keep(on node: NodeID, _ credentials: RegistryCredentials, as token: String) async throws {
        state.withLock { $0.kept[token] = credentials }
    }

    func export(
        on node: NodeID, _ origin: ImageOrigin, output: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        try await output(Array("an archive of ".utf8))
        try await output(Array(origin.reference.utf8))
    }

    func forget(on node: NodeID, access token: String) async throws {
        state.withLock { _ = $0.kept.removeValue(forKey: token) }
    }

    func checkLogin(
        on node: NodeID, registry: String, plainHTTP: Bool, _ credentials: RegistryCredentials
    ) async throws {
        guard credentials.password == "right" else {
            throw CoveyError(.unauthenticated, "\(registry) does not take these credentials")
        }
    }

    func discardSpool(on node: NodeID, _ spool: SpoolToken) async throws {
        state.withLock { _ = $0.discarded.insert(spool.token) }
    }

    func shell(
        on node: NodeID, _ machine: VirtualMachine, _ access: ShellAccess, id: String, input: ExecInputs,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws {
        try await output(.started(id))
        try await output(.stdout(Array(access.user.utf8)))
        for try await piece in input {
            if case .standardInput(let bytes) = piece { try await output(.stdout(bytes)) }
        }
        try await output(.exited(ExecExit(code: 0)))
    }

    func networkFacts(on node: NodeID) async throws -> NetworkHostFacts { state.withLock { $0.networks } }

    func portHolders(on node: NodeID, _ ports: [PublishedPort]) async throws -> [PortHolder] {
        state.withLock { state in state.holders.filter { ports.contains($0.port) } }
    }

    func listeningPorts(on node: NodeID, of machine: VirtualMachine) async throws -> [ListeningPort] {
        state.withLock { $0.listening }
    }

    func figures(on node: NodeID, of machine: VirtualMachine) async throws -> MachineFigures {
        let next = state.withLock { $0.figures.count > 1 ? $0.figures.removeFirst() : $0.figures.first }
        guard let next else { throw CoveyError(.conflict, "vm \(machine.metadata.name) does not run") }
        return next
    }
}
