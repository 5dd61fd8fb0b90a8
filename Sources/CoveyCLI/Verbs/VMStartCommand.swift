internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm start`.
struct VMStartCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "start", abstract: "Start machines.", discussion: "Example: covey vm start web")

    @OptionGroup var global: GlobalOptions

    @Option(help: "What to wait for: created, running or ready.")
    var wait: CreateGoal = .ready

    @Option(help: "How long to wait, such as 90s.")
    var timeout: DurationArgument?

    @Argument(help: "The machines.")
    var vms: [String]

    func perform() async throws -> Int32 {
        try await global.connect { client in
            try await forEach(vms) { name in
                let asked = try await client.startMachine(name)
                try await CreateWait(goal: wait, limit: timeout?.duration, quiet: global.quiet).wait(client, asked)
                try global.printed.mutated(asked.subject, name: name)
            }
        }
    }
}
