internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm inspect`.
struct VMInspectCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Print all that is known of a machine.",
        discussion: "Example: covey vm inspect -o json web")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The machine.")
    var vm: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let machine = try await client.machine(vm)
            try global.printed.object(machine, name: machine.metadata.name)
            return 0
        }
    }
}
