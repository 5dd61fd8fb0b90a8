internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm rename`.
struct VMRenameCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "rename", abstract: "Give a machine another name.",
        discussion: """
            Also while it runs: NEW.vm leads to it at once, OLD.vm to nobody, and its host name follows.

            Example: covey vm rename web shop
            """)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The machine.")
    var old: String

    @Argument(help: "Its new name: 1 to 63 of a-z, 0-9 and -.")
    var new: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let machine = try await client.renameMachine(old, to: new)
            try global.printed.mutated(machine, name: machine.metadata.name)
            return 0
        }
    }
}
