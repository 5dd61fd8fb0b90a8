internal import ArgumentParser
internal import CoveyAPI
internal import CoveyClient
internal import CoveyModel
internal import Glibc

/// `covey run`.
struct RunCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run a program in a new microVM.",
        discussion: """
            The command is the machine's program: when it ends the machine stops, and its exit code is passed on. \
            Without a command the image's own init or entrypoint runs and the console is shown; with -t a shell.

            Example: covey run --rm debian -- cat /etc/os-release
            """)

    @OptionGroup var machine: MachineOptions
    @OptionGroup var global: GlobalOptions

    @Flag(help: "Delete the machine when it has stopped; the daemon does it.")
    var rm = false

    @Flag(name: .shortAndLong, help: "Send standard input.")
    var interactive = false

    @Flag(name: .shortAndLong, help: "Give the program a terminal.")
    var tty = false

    @Option(name: .customLong("detach-keys"), help: "What leaves a program with a terminal running.")
    var detachKeys = DetachKeys.usual

    @Flag(name: .shortAndLong, help: "Print the name and leave it running.")
    var detach = false

    @Argument(help: "The image, such as debian or busybox.")
    var image: String

    @Argument(parsing: .postTerminator, help: "The program and its arguments.")
    var command: [String] = []

    func exitCode(of error: CoveyError) -> Int32 { error.relayExitCode }

    func perform() async throws -> Int32 {
        if detach && (interactive || tty) { throw ValidationError("-d goes with neither -i nor -t") }
        let arguments = command.isEmpty && tty ? ["/bin/sh"] : command
        let program =
            arguments.isEmpty
            ? nil
            : Program(
                arguments: arguments, environment: tty ? RunCommand.terminalEnvironment : [:], terminal: tty,
                standardInput: interactive)
        let request = try machine.request(image: image, program: program, removeWhenStopped: rm)
        return try await global.connect { client in
            let image = try await MissingImage(name: image, quiet: global.quiet).fetch(client)
            var request = request
            if program == nil { request.program = ownProgram(of: image) }
            let made = try await client.createMachine(request)
            if detach || machine.noStart { return try await finishDetached(client, made) }
            return try await follow(client, made.subject, made.operation)
        }
    }

    /// What programs learn of the terminal that they have.
    private static var terminalEnvironment: [String: String] { ProcessEnvironment["TERM"].map { ["TERM": $0] } ?? [:] }

    /// What the image runs by itself, as docker does it: its entrypoint and command.
    private func ownProgram(of image: Image?) -> Program? {
        guard let image = image?.status.configuration, image.initPath == nil,
            !image.entrypoint.isEmpty || image.hasOwnProgram
        else { return nil }
        return Program(arguments: image.entrypoint + image.command, terminal: false, standardInput: interactive)
    }

    private func finishDetached(_ client: CoveyClient, _ made: Mutation<VirtualMachine>) async throws -> Int32 {
        let name = made.subject.metadata.name
        try await CreateWait(goal: machine.wait ?? .created, limit: machine.timeout?.duration, quiet: global.quiet)
            .wait(client, made)
        let now = machine.wait == nil ? made.subject : try await client.machine(name)
        try global.printed.mutated(now, name: name)
        return 0
    }

    /// Shows the program until it ends.
    private func follow(
        _ client: CoveyClient, _ made: VirtualMachine, _ operation: Operation?
    ) async throws -> Int32 {
        let id = made.metadata.id.description
        guard made.spec.program != nil else { return try await followConsole(client, made) }
        let relay = ProgramRelay(interactive: interactive, terminal: tty, detachKeys: detachKeys)
        let end: ProgramRelay.End
        do {
            end = try await relay.relay { source, output in
                try await client.attach(
                    id, offsets: (0, 0), size: relay.size, source: source, output: output)
            }
        } catch {
            try await cleanUp(client, id)
            throw error
        }
        switch end {
        case .program(let exit):
            if rm { try await awaitRemoval(client, id) }
            return exit?.code ?? 0
        case .left: return try await end.code(in: made.metadata.name, exec: ExecRecord.main, client)
        case .gaveUp:
            try await giveUp(client, id, operation)
            return ErrorCode.cancelled.exitCode
        }
    }

    private func followConsole(_ client: CoveyClient, _ made: VirtualMachine) async throws -> Int32 {
        let id = made.metadata.id.description
        let relay = ProgramRelay(interactive: false, terminal: false)
        let end = try await relay.relay { _, output in
            try await client.logs(id, console: true, follow: true) { try await output(.stdout($0.bytes)) }
            return nil
        }
        guard end == .program(nil) else {
            try await cleanUp(client, id)
            return ErrorCode.cancelled.exitCode
        }
        do {
            let last = try await client.machine(id)
            if let error = last.status.lastError, last.status.phase == .failed { throw error }
            return last.status.exitCode ?? 0
        } catch let error as CoveyError where error.code == .notFound && rm {
            return 0
        }
    }

    /// The name is free again when the command is over. A daemon that is slow or away removes the machine later.
    private func awaitRemoval(_ client: CoveyClient, _ id: String) async throws {
        do {
            try await MachineWait(goal: .deleted, limit: .seconds(10)).wait(client, id)
        } catch let error as CoveyError where [.notFound, .deadline, .unavailable].contains(error.code) {
            return
        }
    }

    /// A machine of `--rm` does not stay behind when it could not be followed.
    private func cleanUp(_ client: CoveyClient, _ id: String) async throws {
        guard rm else { return }
        do {
            _ = try await client.deleteMachine(id, force: true)
        } catch let error as CoveyError where error.code == .notFound {
            // The daemon was faster.
        }
    }

    private func giveUp(_ client: CoveyClient, _ id: String, _ operation: Operation?) async throws {
        if let operation {
            do {
                _ = try await client.cancelOperation(operation.metadata.id.description)
            } catch let error as CoveyError where error.code == .conflict {
                // It has started in the meantime.
            }
        }
        try await cleanUp(client, id)
    }
}
