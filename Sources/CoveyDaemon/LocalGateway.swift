internal import CoveyGuestProtocol
package import CoveyModel
package import CoveyNetwork
package import CoveyNode
package import CoveyRegistry
package import CoveyServer
internal import CoveyStore
package import CoveySystem
internal import FoundationEssentials

/// Reaches this node's own agent. A cluster puts one in front of it that knows the way to the others.
package struct LocalGateway: NodeGateway {
    let agent: NodeAgent
    let reactor: Reactor
    let registries: RegistryAccess
    let layers: RegistryImages
    let networks: any NetworkHost

    /// A gateway to an agent.
    package init(
        agent: NodeAgent, reactor: Reactor, registries: RegistryAccess, layers: RegistryImages,
        networks: any NetworkHost = NoNetworks()
    ) {
        self.layers = layers
        self.networks = networks
        self.agent = agent
        self.reactor = reactor
        self.registries = registries
    }

    var host: MachineHost { agent.host }

    /// Errors: ``ErrorCode/unavailable`` naming the node, where it is another.
    func check(_ node: NodeID, _ machine: VirtualMachine? = nil) async throws {
        guard node != host.node else { return }
        let (there, here) = (
            try await host.repositories.nodes.name(of: node), try await host.repositories.nodes.name(of: host.node)
        )
        throw CoveyError(
            .unavailable,
            "\(machine.map { "vm \($0.metadata.name)" } ?? "this") is on node \(there), which the daemon of node \(here) does "
                + "not reach",
            remedy: "ask the daemon of node \(there): covey --host, or COVEY_HOST",
            resource: ResourceReference("node", there))
    }

    package func exec(
        on node: NodeID, _ machine: VirtualMachine, _ command: ExecCommand, input: ExecInputs,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws {
        try await check(node, machine)
        let id = machine.metadata.id
        let size = command.size.map { guestSize($0) } ?? GuestTerminalSize()
        let request = GuestExecRequest(
            id: command.id, program: command.program, terminalSize: size,
            overflow: command.detach ? .blockWhileAttached : .block)
        let channel = try await agent.exec(id, request)
        try await output(.started(command.id))
        if command.detach { return }
        // A program with a terminal is a session: it outlives the client, who comes back with attach.
        try await relay(channel, input: input, hangUp: !command.program.terminal, skip: (0, 0), output: output)
        try await agent.discard(id, exec: command.id)
    }

    package func attach(
        on node: NodeID, _ machine: VirtualMachine, _ command: AttachCommand, input: ExecInputs,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws {
        try await check(node, machine)
        let channel = try await agent.channel(machine.metadata.id, command.exec)
        try await output(.started(command.exec))
        var skip = (command.stdoutOffset ?? 0, command.stderrOffset ?? 0)
        var caughtUp: (Int64, Int64)?
        if let recent = command.recent, channel.hasBegun {
            let recorded = try await channel.recorded()
            skip = (max(skip.0, recorded.output - recent), max(skip.1, recorded.error - recent))
            caughtUp = (recorded.output, recorded.error)
        } else if command.recent != nil {
            caughtUp = (0, 0)
        }
        let size = command.size
        let redraws = command.recent != nil
        try await withThrowingTaskGroup { group in
            if let size {
                group.addTask { try await show(channel, at: guestSize(size), redraws: redraws) }
            }
            try await relay(channel, input: input, hangUp: false, skip: skip, caughtUp: caughtUp, output: output)
            group.cancelAll()
        }
    }

    package func stream(
        on node: NodeID, _ machine: VirtualMachine, _ purpose: MachineStream,
        input: @escaping @Sendable () async throws -> [UInt8]?,
        output: @escaping @Sendable (MachineStreamOutput) async throws -> Void
    ) async throws {
        try await check(node, machine)
        try await agent.stream(machine, purpose, input: input, output: output)
    }

    package func execs(on node: NodeID, _ machine: VirtualMachine) async throws -> [ExecRecord] {
        try await check(node, machine)
        return try await agent.execs(machine)
    }

    package func signal(on node: NodeID, _ machine: VirtualMachine, exec: String, signal: Int32) async throws {
        try await check(node, machine)
        try await agent.signal(machine.metadata.id, exec: exec, signal)
    }

    package func leaks(on node: NodeID) async throws -> [Leak] {
        try await check(node)
        return try await agent.leaks()
    }

    package func usage(on node: NodeID, without: Set<ImageID>) async throws -> NodeUsage {
        try await check(node)
        return try await host.usage(without: without)
    }

    package func collectBlobs(on node: NodeID) async throws {
        try await check(node)
        try await host.collectBlobs()
    }

    package func purge(on node: NodeID, leak id: String) async throws {
        try await check(node)
        try await agent.purge(id)
    }

    package func progress(
        on node: NodeID, of operation: OperationID,
        output: @escaping @Sendable ([OperationStage]) async throws -> Void
    ) async throws {
        try await check(node)
        let board = agent.progress
        let changes = board.changes()
        let target = try await host.repositories.operations.get(operation).spec.targetID
        var last: [OperationStage] = []
        for await _ in changes {
            let stages = board.stages(of: target)
            if stages.isEmpty {
                if !last.isEmpty || !agent.isBuilding(target) { return }
                continue
            }
            if stages != last { try await output(stages) }
            last = stages
            try await host.clock.sleep(.milliseconds(100))
        }
    }

    /// Gives a terminal its size. A program that is to draw anew is told of a change: the kernel tells none where the
    /// size stays.
    private func show(_ channel: ExecChannel, at size: GuestTerminalSize, redraws: Bool) async throws {
        if redraws, channel.hasBegun, channel.exitCode == nil, size.rows > 1 {
            try await channel.resize(GuestTerminalSize(rows: size.rows - 1, columns: size.columns))
            // Programs read the size when they get to it: it has to be another one for a moment.
            try await host.clock.sleep(.milliseconds(100))
        }
        try await channel.resize(size)
    }

    /// Carries a program's output to a caller and the caller's input to the program, until the program has ended.
    ///
    /// - Parameters:
    ///   - hangUp: Whether the program gets SIGHUP when the caller leaves before its end.
    ///   - skip: Bytes of standard output and standard error that the caller has.
    ///   - caughtUp: Where both were when the caller came; it is told when it has them. Nil tells nothing.
    private func relay(
        _ channel: ExecChannel, input: ExecInputs, hangUp: Bool, skip: (Int64, Int64),
        caughtUp: (Int64, Int64)? = nil,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) async throws {
        let follower = channel.follow(attached: true)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await send(input, to: channel, hangUp: hangUp)
                return false
            }
            group.addTask {
                do {
                    var behind = caughtUp
                    func catchUp(_ done: (Int64, Int64)) async throws {
                        guard let goal = behind, done.0 >= goal.0, done.1 >= goal.1 else { return }
                        behind = nil
                        try await output(.caughtUp)
                    }
                    var done: (Int64, Int64) = (0, 0)
                    try await catchUp(done)
                    while let entries = try await follower.next() {
                        for entry in entries {
                            if case .exit = entry.content, behind != nil { try await output(.caughtUp) }
                            try await tell(entry, skip, output)
                            switch entry.content {
                            case .output(let bytes): done.0 = entry.offset + Int64(bytes.count)
                            case .error(let bytes): done.1 = entry.offset + Int64(bytes.count)
                            case .lost, .exit: break
                            }
                            try await catchUp(done)
                        }
                    }
                } catch {
                    if hangUp, channel.exitCode == nil { try await channel.signal(1) }
                    throw error
                }
                return true
            }
            while let ended = try await group.next() { if ended { break } }
            group.cancelAll()
        }
    }

    private func tell(
        _ entry: JournalEntry, _ skip: (Int64, Int64), _ output: @Sendable (ExecOutput) async throws -> Void
    ) async throws {
        switch entry.content {
        case .output(let bytes):
            let rest = bytes.dropFirst(Int(clamping: max(0, skip.0 - entry.offset)))
            if !rest.isEmpty { try await output(.stdout(Array(rest))) }
        case .error(let bytes):
            let rest = bytes.dropFirst(Int(clamping: max(0, skip.1 - entry.offset)))
            if !rest.isEmpty { try await output(.stderr(Array(rest))) }
        case .lost(let count):
            if count > 0 {
                try await output(.stderr(Array("covey: \(count) bytes of output were lost\n".utf8)))
            }
        case .exit(let code):
            try await output(.exited(ExecExit(code: code, signal: code > 128 ? code - 128 : nil)))
        }
    }

    private func send(_ input: ExecInputs, to channel: ExecChannel, hangUp: Bool) async throws {
        var closed = false
        for try await item in input {
            do {
                switch item {
                case .standardInput(let bytes): try await channel.write(bytes)
                case .end:
                    closed = true
                    try await channel.closeInput()
                case .resize(let size): try await channel.resize(guestSize(size))
                case .signal(let number): try await channel.signal(number)
                }
            } catch let error as CoveyError where error.code == .conflict || error.code == .notFound {
                // The program has ended; its exit code is on its way.
                return
            }
        }
        if !closed, hangUp, channel.exitCode == nil {
            try await channel.signal(1)
            try await channel.closeInput()
        }
    }
}

/// A size as the guest protocol writes it.
func guestSize(_ size: TerminalSize) -> GuestTerminalSize {
    GuestTerminalSize(rows: UInt16(clamping: size.rows), columns: UInt16(clamping: size.columns))
}
