internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm kill`.
struct VMKillCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "kill", abstract: "End machines at once, or send a signal to their programs.",
        discussion: "Example: covey vm kill --signal HUP web")

    @OptionGroup var global: GlobalOptions

    @Option(name: .shortAndLong, help: "A signal for the machine's program; KILL ends the machine.")
    var signal: SignalArgument?

    @Argument(help: "The machines.")
    var vms: [String]

    func perform() async throws -> Int32 {
        try await global.connect { client in
            try await forEach(vms) { name in
                // A signal that nothing survives needs no guest to deliver it.
                let number = signal?.number == 9 ? nil : signal?.number
                let asked = try await client.killMachine(name, signal: number)
                try await client.finishShowing(asked.operation, quiet: global.quiet)
                try global.printed.mutated(asked.subject, name: name)
            }
        }
    }
}
