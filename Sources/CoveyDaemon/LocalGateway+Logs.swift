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
        _ output: @Sendable (LogChunk) async throws -> Void
    ) async throws {
        if exec == mainExecID, machine.spec.program == nil, machine.status.exitCode == nil {
            throw CoveyError(
                .conflict, "vm \(machine.metadata.name) has no program of its own",
                remedy: "covey logs --console \(machine.metadata.name) shows its console",
                resource: ResourceReference("vm", machine.metadata.name))
        }
        if exec == mainExecID { try await previousRun(machine.metadata.id, query, output) }
        let follower = try await agent.channel(machine.metadata.id, exec).follow(attached: false)
        while let entries = query.follow ? try await follower.next() : try await follower.available() {
            try await tell(entries, query, output)
        }
    }

    /// What the machine's program said in the run before: after a crash it is what one looks for.
    private func previousRun(
        _ id: MachineID, _ query: LogQuery, _ output: @Sendable (LogChunk) async throws -> Void
    ) async throws {
        do {
            let follower = try await agent.channel(id, ExecChannels.previousRun).follow(attached: false)
            while let entries = try await follower.available() { try await tell(entries, query, output) }
        } catch let error as CoveyError where error.code == .notFound {
            return
        }
    }

    private func tell(
        _ entries: [JournalEntry], _ query: LogQuery, _ output: @Sendable (LogChunk) async throws -> Void
    ) async throws {
        for entry in entries where query.since.map({ entry.time >= $0 }) ?? true {
            switch entry.content {
            case .output(let bytes): if !bytes.isEmpty { try await output(LogChunk(.stdout, bytes)) }
            case .error(let bytes): if !bytes.isEmpty { try await output(LogChunk(.stderr, bytes)) }
            case .lost(let count):
                try await output(LogChunk(.stderr, Array("covey: \(count) bytes were lost\n".utf8)))
            case .exit: break
            }
        }
    }

    private func console(
        _ machine: VirtualMachine, _ query: LogQuery, _ output: @escaping @Sendable (LogChunk) async throws -> Void
    ) async throws {
        let folder = host.layout.logs(machine.metadata.id)
        guard try await host.pool.run({ fileExists(folder) }) else { return }
        let reader = Guarded(ConsoleReader(host.layout.console(machine.metadata.id)))
        let watch = query.follow ? try FileWatch(folder: folder, reactor: reactor) : nil
        try await copy(reader, output)
        guard let watch else { return }
        try await withThrowingTaskGroup { group in
            group.addTask {
                while true {
                    try await watch.changed()
                    try await self.copy(reader, output)
                }
            }
            group.addTask { try await self.untilStopped(machine.metadata.id) }
            try await group.next()
            group.cancelAll()
        }
    }

    private func copy(
        _ reader: Guarded<ConsoleReader>, _ output: @Sendable (LogChunk) async throws -> Void
    ) async throws {
        while true {
            let bytes = try await host.pool.run { try reader.use { try $0.next() } }
            if bytes.isEmpty { return }
            try await output(LogChunk(.console, bytes))
        }
    }

    private func untilStopped(_ id: MachineID) async throws {
        for try await _ in host.repositories.machines.watch() {
            do {
                let phase = try await host.repositories.machines.get(id).status.phase
                if phase == .stopped || phase == .failed { return }
            } catch let error as CoveyError where error.code == .notFound {
                return
            }
        }
    }
}
