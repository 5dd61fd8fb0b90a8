internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm restart`.
struct VMRestartCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "restart", abstract: "Stop and start machines.", discussion: "Example: covey vm restart web")

    @OptionGroup var global: GlobalOptions

    @Option(help: "How long to wait, such as 90s.")
    var timeout: DurationArgument?

    @Argument(help: "The machines.")
    var vms: [String]

    func perform() async throws -> Int32 {
        try await global.connect { client in
            try await forEach(vms) { name in
                let asked = try await client.restartMachine(name)
                try await client.finishShowing(asked.operation, quiet: global.quiet, limit: timeout?.duration)
                try global.printed.mutated(asked.subject, name: name)
            }
        }
    }
}
