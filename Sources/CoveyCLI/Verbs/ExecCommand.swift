internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey exec`.
struct ExecCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "exec", abstract: "Run a program in a machine.",
        discussion: """
            Its exit code is passed on. With -t it is a session that outlives this client: the detach keys leave it, and \
            covey attach VM/EXEC comes back. `exec ls VM` lists the programs that were started in a machine, \
            `exec kill VM/EXEC` ends one.

            Example: covey exec -it web -- /bin/sh
            """)

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Send standard input.")
    var interactive = false

    @Flag(name: .shortAndLong, help: "Give the program a terminal.")
    var tty = false

    @Flag(name: .shortAndLong, help: "Print its id and leave it running.")
    var detach = false

    @Option(name: .shortAndLong, help: "The user, as NAME, UID, NAME:GROUP or UID:GID.")
    var user: String?

    @Option(name: [.long, .customShort("e")], help: "Environment, as KEY=VALUE.")
    var env: [KeyValue] = []

    @Option(name: .shortAndLong, help: "The folder it starts in.")
    var workdir: String?

    @Option(name: .customLong("detach-keys"), help: "What leaves a program with a terminal running.")
    var detachKeys = DetachKeys.usual

    @Option(
        name: .shortAndLong, help: "The signal of kill, such as KILL; what ends such a program where it is left out.")
    var signal: SignalArgument?

    @Argument(help: "The machine, or ls or kill.")
    var vm: String

    @Argument(help: "After ls the machine, after kill the program as VM/EXEC.")
    var listed: String?

    @Argument(parsing: .postTerminator, help: "The program and its arguments.")
    var command: [String] = []

    func exitCode(of error: CoveyError) -> Int32 {
        listed == nil ? error.relayExitCode : error.code.exitCode
    }

    func validate() throws {
        if let listed {
            guard ["ls", "kill"].contains(vm), command.isEmpty else {
                throw ValidationError("unexpected \"\(listed)\": write the program behind --")
            }
        } else if command.isEmpty {
            throw ValidationError("there is no program to run: write it behind --")
        }
        if listed != nil, vm == "kill", listed.flatMap({ ExecReference(argument: $0)?.exec }) == nil {
            throw ValidationError("which program? write VM/EXEC")
        }
        if signal != nil, listed == nil || vm != "kill" { throw ValidationError("--signal goes with kill") }
        if detach && (interactive || tty) { throw ValidationError("-d goes with neither -i nor -t") }
    }

    func perform() async throws -> Int32 {
        if let listed { return vm == "kill" ? try await kill(listed) : try await list(listed) }
        var environment = env.map
        if tty, environment["TERM"] == nil { environment["TERM"] = ProcessEnvironment["TERM"] }
        let program = Program(
            arguments: command, environment: environment, workingDirectory: workdir, user: user, terminal: tty,
            standardInput: interactive)
        return try await global.connect { client in
            if detach {
                let id = CoveyClient.requestID()
                _ = try await client.exec(vm, program, detach: true, id: id) { _ in }
                let record = ExecRecord(id: id, arguments: command, running: true)
                try global.printed.mutated(record, name: id)
                return 0
            }
            let relay = ProgramRelay(interactive: interactive, terminal: tty, detachKeys: detachKeys)
            let id = CoveyClient.requestID()
            let end = try await relay.relay { source, output in
                try await client.exec(vm, program, size: relay.size, id: id, source: source, output: output)
            }
            guard tty else {
                guard case .program(let exit) = end else { return ErrorCode.cancelled.exitCode }
                return exit?.code ?? 0
            }
            return try await end.code(in: vm, exec: id, client)
        }
    }

    private func kill(_ target: String) async throws -> Int32 {
        guard let reference = ExecReference(argument: target), let exec = reference.exec else { return 2 }
        return try await global.connect { client in
            var record = try await client.exec(reference.machine, beginning: exec)
            try await client.signal(reference.machine, exec: record.id, signal?.number)
            if global.printed.format != .table,
                let now = try await client.execs(reference.machine).first(where: { $0.id == record.id })
            {
                record = now
            }
            try global.printed.mutated(record, name: record.id)
            return 0
        }
    }

    private func list(_ name: String) async throws -> Int32 {
        try await global.connect { client in
            let columns: [Column<ExecRecord>] = [
                Column("ID") { $0.id },
                Column("STATE") { record in
                    record.running ? "running" : record.exitCode.map { "exited (\($0))" } ?? "exited"
                },
                Column("STARTED") { record in
                    record.startedAt.map { String($0.description.prefix(19)) + "Z" } ?? "-"
                },
                Column("USER") { $0.user ?? "-" },
                Column("TERMINAL") { $0.terminal ? "yes" : "no" },
                Column("COMMAND") { $0.arguments.joined(separator: " ") },
            ]
            try global.printed.list(try await client.execs(name), columns) { $0.id }
            return 0
        }
    }
}
