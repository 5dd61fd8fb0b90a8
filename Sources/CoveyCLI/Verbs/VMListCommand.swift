internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm ls`.
struct VMListCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List machines.", discussion: "Example: covey vm ls -l tier=web",
        aliases: ["list"])

    @OptionGroup var global: GlobalOptions

    @Option(name: [.customShort("l"), .customLong("label")], help: "Only those with the label KEY=VALUE.")
    var labels: [KeyValue] = []

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let machines = try await client.listMachines(labels: labels.map)
            try global.printed.list(machines, try await MachineColumns.columns(for: machines, of: client)) {
                $0.metadata.name
            }
            return 0
        }
    }
}
