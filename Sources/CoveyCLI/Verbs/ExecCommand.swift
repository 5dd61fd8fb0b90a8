internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey exec`.
struct ExecCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "exec", abstract: "Run a program in a machine.",
        discussion: """
            Its exit code is passed on. `exec ls VM` lists the programs that were started in a machine.

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

    @Argument(help: "The machine, or ls.")
    var vm: String

    @Argument(help: "The machine whose programs are listed, after ls.")
    var listed: String?

    @Argument(parsing: .postTerminator, help: "The program and its arguments.")
    var command: [String] = []

    func exitCode(of error: CoveyError) -> Int32 {
        listed == nil ? error.relayExitCode : error.code.exitCode
    }

    func validate() throws {
        if let listed {
            guard vm == "ls", command.isEmpty else {
                throw ValidationError("unexpected \"\(listed)\": write the program behind --")
            }
        } else if command.isEmpty {
            throw ValidationError("there is no program to run: write it behind --")
        }
        if detach && (interactive || tty) { throw ValidationError("-d goes with neither -i nor -t") }
    }

    func perform() async throws -> Int32 {
        if let listed { return try await list(listed) }
        let program = Program(
            arguments: command, environment: env.map, workingDirectory: workdir, user: user, terminal: tty,
            standardInput: interactive)
        return try await global.connect { client in
            if detach {
                let id = CoveyClient.requestID()
                _ = try await client.exec(vm, program, detach: true, id: id) { _ in }
                let record = ExecRecord(id: id, arguments: command, running: true)
                try global.printed.mutated(record, name: id)
                return 0
            }
            let relay = ProgramRelay(interactive: interactive, terminal: tty)
            let end = try await relay.relay { source, output in
                try await client.exec(vm, program, size: relay.size, source: source, output: output)
            }
            switch end {
            case .program(let exit): return exit?.code ?? 0
            case .left, .gaveUp: return ErrorCode.cancelled.exitCode
            }
        }
    }

    private func list(_ name: String) async throws -> Int32 {
        try await global.connect { client in
            let columns: [Column<ExecRecord>] = [
                Column("ID") { $0.id },
                Column("STATE") { record in
                    record.running ? "running" : record.exitCode.map { "exited (\($0))" } ?? "exited"
                },
                Column("COMMAND") { $0.arguments.joined(separator: " ") },
            ]
            try global.printed.list(try await client.execs(name), columns) { $0.id }
            return 0
        }
    }
}
