internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import Glibc

/// `covey attach`.
struct AttachCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "attach", abstract: "Connect to a program that runs in a machine.",
        discussion: """
            What was kept of its output comes first; a program with a terminal is asked to draw anew. Several clients may \
            be attached to one: all see it, all may type, and its window is that of who came or changed last.

            Leaving it lets it run on: the detach keys, a second Ctrl-C where it has no terminal, or SIGHUP.

            Example: covey attach web/01a20032
            """)

    @OptionGroup var global: GlobalOptions

    @Flag(name: .customLong("no-stdin"), help: "Do not send standard input.")
    var noStandardInput = false

    @Option(name: .customLong("detach-keys"), help: "What leaves a program with a terminal running.")
    var detachKeys = DetachKeys.usual

    @Argument(help: "The machine, or VM/EXEC for a program of exec.")
    var target: ExecReference

    func exitCode(of error: CoveyError) -> Int32 { error.relayExitCode }

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let machine = try await client.machine(target.machine)
            let (exec, terminal) = try await found(client, machine)
            let takesInput = exec != ExecRecord.main || machine.spec.program?.standardInput != false
            var relay = ProgramRelay(interactive: !noStandardInput && takesInput, terminal: terminal)
            relay.detachKeys = detachKeys
            relay.replays = terminal
            let given = relay
            let end = try await relay.relay { source, output in
                try await client.attach(
                    target.machine, exec: exec, recent: terminal ? AttachCommand.recent : nil, size: given.size,
                    source: source, output: output)
            }
            return try await end.code(in: target.machine, exec: exec, client)
        }
    }

    /// What of a session's past is shown: enough for a screen, since a program that has one draws it anew.
    private static let recent: Int64 = 16 << 10

    /// The exec that is meant, by its id or the beginning of it, and whether it has a terminal.
    private func found(_ client: CoveyClient, _ machine: VirtualMachine) async throws -> (String, Bool) {
        guard let wanted = target.exec, wanted != ExecRecord.main else {
            return (ExecRecord.main, machine.spec.program?.terminal ?? false)
        }
        let record = try await client.exec(target.machine, beginning: wanted)
        return (record.id, record.terminal)
    }
}

extension CoveyClient {
    /// An exec by its id or the beginning of it. Errors: ``ErrorCode/notFound``; ``ErrorCode/conflict`` where several
    /// begin so.
    func exec(_ machine: String, beginning text: String) async throws -> ExecRecord {
        let all = try await execs(machine)
        if let record = all.first(where: { $0.id == text }) { return record }
        let fitting = all.filter { $0.id.hasPrefix(text) || $0.id.hasSuffix(text) }
        guard let record = fitting.first else {
            throw CoveyError.notFound("exec", text, remedy: "covey exec ls \(machine) lists them")
        }
        guard fitting.count == 1 else {
            throw CoveyError(
                .conflict, "\(fitting.count) programs of vm \(machine) are called \(text)",
                remedy: "write more of the id: covey exec ls \(machine)")
        }
        return record
    }
}

extension CoveyClient {
    /// What to say where a machine does not run any more; nil where it does.
    fileprivate func end(of name: String) async throws -> CoveyError? {
        do {
            let machine = try await machine(name)
            switch machine.status.phase {
            case .pending, .scheduled, .running, .paused, .unknown: return nil
            case .preparing, .starting, .stopping, .stopped, .failed, .deleting:
                return CoveyError(
                    .unavailable, "vm \(name) has ended, and the program with it",
                    remedy: "covey vm inspect \(name) tells why", cause: machine.status.lastError)
            }
        } catch let error as CoveyError where error.code == .notFound {
            return CoveyError(.unavailable, "vm \(name) was removed, and the program with it")
        }
    }
}

extension ProgramRelay.End {
    /// The exit code, with a word on how to come back where the program goes on, or that the machine has ended under it.
    func code(in machine: String, exec: String, _ client: CoveyClient) async throws -> Int32 {
        switch self {
        case .program(let exit):
            if exit?.signal == SIGKILL, exec != ExecRecord.main, let error = try await client.end(of: machine) {
                Standard.error("\n" + ErrorText.lines(error))
            }
            return exit?.code ?? 0
        case .gaveUp: return ErrorCode.cancelled.exitCode
        case .left(let byKeys):
            let name = exec == ExecRecord.main ? machine : "\(machine)/\(exec)"
            Standard.error("\ncovey: it goes on; come back with: covey attach \(name)\n")
            return byKeys ? 0 : ErrorCode.cancelled.exitCode
        }
    }
}
