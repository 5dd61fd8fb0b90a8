internal import ArgumentParser
internal import CoveyConfiguration
internal import CoveyModel

/// `covey config`.
struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "The daemon's configuration.", discussion: "Example: covey config show",
        subcommands: [ConfigShowCommand.self])
}

/// `covey config show`.
struct ConfigShowCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print each setting and where its value comes from; needs no daemon.",
        discussion: "Example: covey config show --root /srv/covey")

    @OptionGroup var global: GlobalOptions

    @Option(help: "The daemon's root folder (COVEY_ROOT).", completion: .directory)
    var root: String?

    @Option(help: "The configuration file (COVEY_CONFIG).", completion: .file())
    var config: String?

    func perform() async throws -> Int32 {
        let resolved = try ResolvedConfiguration.load(root: root, file: config, environment: ProcessEnvironment.all)
        let columns: [Column<Setting>] = [
            Column("SETTING") { $0.key },
            Column("VALUE") { $0.value.isEmpty ? "-" : $0.value },
            Column("SOURCE") { $0.source },
        ]
        try global.printed.list(resolved.settings, columns) { $0.key }
        return 0
    }
}
