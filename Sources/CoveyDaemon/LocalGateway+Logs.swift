internal import CoveyGuestProtocol
package import CoveyModel
internal import CoveyNode
package import CoveyServer
internal import CoveyStore
internal import CoveySystem

extension LocalGateway {
    package func logs(
        on node: NodeID, _ machine: VirtualMachine, _ query: LogQuery,
        output: @escaping @Sendable (LogChunk) async throws -> Void
    ) async throws {
        try await check(node, machine)
        switch query.source {
        case .exec(let exec): try await program(machine, exec, query, output)
        case .console: try await console(machine, query, output)
        }
    }

    private func program(
        _ machine: VirtualMachine, _ exec: String, _ query: LogQuery,
        _ output: @escaping @Sendable (LogChunk) async throws -> Void
    ) async throws {
        if exec == mainExecID, machine.spec.program == nil, machine.status.exitCode == nil {
            throw CoveyError(
                .conflict, "vm \(machine.metadata.name) has no program of its own",
                remedy: "covey logs --console \(machine.metadata.name) shows its console",
                resource: ResourceReference("vm", machine.metadata.name))
        }
        let id = machine.metadata.id
        var generation = machine.status.runGeneration
        var channel = try await agent.channel(id, exec)
        var follower = channel.follow(attached: false)
        var tail = query.tail.map { LogTail(lines: $0) }
        func tell(_ entries: [JournalEntry]) async throws {
            for entry in entries where query.since.map({ entry.time >= $0 }) ?? true {
                guard let chunk = LogChunk(entry) else { continue }
                if tail != nil { tail?.append(chunk) } else { try await output(chunk) }
            }
        }
        if exec == mainExecID {
            // What the machine's program said in the run before: after a crash it is what one looks for.
            do {
                let before = try await agent.channel(id, ExecChannels.previousRun).follow(attached: false)
                while let entries = try await before.available() { try await tell(entries) }
            } catch let error as CoveyError where error.code == .notFound {
                // There was none.
            }
        }
        var isOver = false
        while let entries = try await follower.available() {
            try await tell(entries)
            isOver = isOver || entries.contains { if case .exit = $0.content { true } else { false } }
        }
        for chunk in tail?.result ?? [] { try await output(chunk) }
        tail = nil
        guard query.follow else { return }
        while true {
            while !isOver, let entries = try await follower.next() { try await tell(entries) }
            isOver = false
            guard exec == mainExecID else { return }
            // A machine that is started again goes on with another recording.
            repeat {
                guard let next = try await nextRun(id, after: generation) else { return }
                generation = next
            } while try await agent.channel(id, exec) === channel
            channel = try await agent.channel(id, exec)
            follower = channel.follow(attached: false)
        }
    }

    /// The generation of the run that follows one; nil where the machine has ended for good or is gone.
    private func nextRun(_ id: MachineID, after generation: Int64) async throws -> Int64? {
        for try await _ in host.repositories.machines.watch() {
            do {
                let machine = try await host.repositories.machines.get(id)
                if machine.status.runGeneration > generation { return machine.status.runGeneration }
                if machine.isOver(at: host.clock.now()) { return nil }
            } catch let error as CoveyError where error.code == .notFound {
                return nil
            }
        }
        return nil
    }

    private func console(
        _ machine: VirtualMachine, _ query: LogQuery, _ output: @escaping @Sendable (LogChunk) async throws -> Void
    ) async throws {
        if query.since != nil {
            throw CoveyError(
                .unsupported, "a console's log has no times", remedy: "leave --since out; --tail N bounds it")
        }
        let folder = host.layout.logs(machine.metadata.id)
        guard try await host.pool.run({ fileExists(folder) }) else { return }
        let reader = Guarded(ConsoleReader(host.layout.console(machine.metadata.id)))
        let watch = query.follow ? try FileWatch(folder: folder, reactor: reactor) : nil
        if let lines = query.tail {
            var tail = LogTail(lines: lines)
            try await copyConsole(reader) { tail.append(LogChunk(.console, $0)) }
            for chunk in tail.result { try await output(chunk) }
        } else {
            try await copyConsole(reader) { try await output(LogChunk(.console, $0)) }
        }
        guard let watch else { return }
        try await followConsole(machine.metadata.id, reader, watch) { try await output(LogChunk(.console, $0)) }
    }

    /// What a console's log says from now on, until its machine has ended for good.
    func followConsole(
        _ id: MachineID, _ reader: Guarded<ConsoleReader>, _ watch: FileWatch,
        _ output: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup { group in
            group.addTask {
                while true {
                    try await watch.changed()
                    try await self.copyConsole(reader, output)
                }
            }
            group.addTask { try await self.untilOver(id) }
            try await group.next()
            group.cancelAll()
        }
        // What came while the end was heard of.
        try await copyConsole(reader, output)
    }

    /// What a console's log has that was not read yet.
    func copyConsole(_ reader: Guarded<ConsoleReader>, _ output: ([UInt8]) async throws -> Void) async throws {
        while true {
            let bytes = try await host.pool.run { try reader.use { try $0.next() } }
            if bytes.isEmpty { return }
            try await output(bytes)
        }
    }

    /// Whether a machine has ended for good; one that was never started has not.
    func hasEnded(_ id: MachineID) async throws -> Bool {
        let machine = try await host.repositories.machines.get(id)
        if machine.status.phase == .stopped, machine.status.runGeneration == 0 { return false }
        return machine.isOver(at: host.clock.now())
    }

    private func untilOver(_ id: MachineID) async throws {
        for try await _ in host.repositories.machines.watch() {
            do {
                if try await hasEnded(id) { return }
            } catch let error as CoveyError where error.code == .notFound {
                return
            }
        }
    }
}

extension LogChunk {
    /// What of a recording is shown; nil for its end.
    fileprivate init?(_ entry: JournalEntry) {
        switch entry.content {
        case .output(let bytes):
            if bytes.isEmpty { return nil }
            self.init(.stdout, bytes)
        case .error(let bytes):
            if bytes.isEmpty { return nil }
            self.init(.stderr, bytes)
        case .lost(let count): self.init(.stderr, Array("covey: \(count) bytes were lost\n".utf8))
        case .exit: return nil
        }
    }
}
