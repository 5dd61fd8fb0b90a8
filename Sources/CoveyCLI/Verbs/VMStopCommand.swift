internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm stop`.
struct VMStopCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Stop machines.", discussion: "Example: covey vm stop --timeout 30s web")

    @OptionGroup var global: GlobalOptions

    @Option(help: "How long the guest may take before it is forced, such as 30s.")
    var timeout: DurationArgument?

    @Flag(name: .shortAndLong, help: "Do not ask the guest.")
    var force = false

    @Argument(help: "The machines.")
    var vms: [String]

    func perform() async throws -> Int32 {
        try await global.connect { client in
            try await forEach(vms) { name in
                let asked = try await client.stopMachine(name, timeout: timeout?.duration, force: force)
                try await client.finishShowing(asked.operation, quiet: global.quiet)
                try global.printed.mutated(asked.subject, name: name)
            }
        }
    }
}
