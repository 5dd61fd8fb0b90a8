internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm rm`.
struct VMRemoveCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Delete machines with their disks.", discussion: "Example: covey vm rm -f web",
        aliases: ["delete"])

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Also while they run.")
    var force = false

    @Argument(help: "The machines.")
    var vms: [String]

    func perform() async throws -> Int32 {
        try await global.connect { client in
            try await forEach(vms) { name in
                let asked = try await client.deleteMachine(name, force: force)
                try await client.finishShowing(asked.operation, quiet: global.quiet)
                try global.printed.mutated(asked.subject, name: name)
            }
        }
    }
}
