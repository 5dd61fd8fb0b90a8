internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey attach`.
struct AttachCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "attach", abstract: "Connect to a program that runs in a machine.",
        discussion: """
            What was kept of its output comes first. Leaving it (a second Ctrl-C, or SIGHUP) lets it run on.

            Example: covey attach web
            """)

    @OptionGroup var global: GlobalOptions

    @Flag(name: .customLong("no-stdin"), help: "Do not send standard input.")
    var noStandardInput = false

    @Argument(help: "The machine, or VM/EXEC for a program of exec -d.")
    var target: ExecReference

    func exitCode(of error: CoveyError) -> Int32 { error.relayExitCode }

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let machine = try await client.machine(target.machine)
            let program = target.exec == nil ? machine.spec.program : nil
            let relay = ProgramRelay(
                interactive: !noStandardInput && program?.standardInput != false,
                terminal: program?.terminal ?? false)
            let exec = target.exec ?? ExecRecord.main
            let end = try await relay.relay { source, output in
                try await client.attach(target.machine, exec: exec, size: relay.size, source: source, output: output)
            }
            switch end {
            case .program(let exit): return exit?.code ?? 0
            case .left, .gaveUp: return ErrorCode.cancelled.exitCode
            }
        }
    }
}
