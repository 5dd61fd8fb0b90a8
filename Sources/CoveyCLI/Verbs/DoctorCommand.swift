internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey doctor`.
struct DoctorCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Say what the host can do, and what was left behind.",
        discussion: "Example: covey doctor --leaks")

    @OptionGroup var global: GlobalOptions

    @Flag(help: "List what no record accounts for; it is left alone until it is purged.")
    var leaks = false

    @Option(help: "Remove one of the leaks.")
    var purge: String?

    func validate() throws {
        if purge != nil && !leaks { throw ValidationError("--purge goes with --leaks") }
    }

    func perform() async throws -> Int32 {
        try await global.connect { client in
            if let purge {
                try await client.purgeLeak(purge)
                Standard.output(purge + "\n")
                return 0
            }
            return leaks ? try await listLeaks(client) : try await showNode(client)
        }
    }

    private func listLeaks(_ client: CoveyClient) async throws -> Int32 {
        let columns: [Column<Leak>] = [
            Column("ID") { $0.id }, Column("KIND") { $0.kind }, Column("NAME") { $0.name },
            Column("REASON") { $0.reason },
        ]
        let leaks = try await client.leaks()
        if leaks.isEmpty && global.printed.format == .table {
            Standard.output("nothing was left behind\n")
        } else {
            try global.printed.list(leaks, columns) { $0.id }
        }
        return 0
    }

    private func showNode(_ client: CoveyClient) async throws -> Int32 {
        let node = try await client.nodeFacts()
        guard global.printed.format == .table else {
            try global.printed.object(node, name: node.metadata.name)
            return 0
        }
        let status = node.status
        var text = "node \(node.metadata.name): Linux \(status.kernelRelease), \(status.architecture.rawValue), "
        text += "\(status.cpus) CPUs, \(status.memory.rounded)\n"
        for facts in status.drivers {
            let version = facts.version.map { " \($0)" } ?? ""
            let accelerators = facts.accelerators.map(\.rawValue).joined(separator: ", ")
            text += "driver \(facts.driver.rawValue)\(version): "
            text += facts.available ? "available (\(accelerators))" : "not available"
            text += facts.reason.map { ": \($0)" } ?? ""
            text += "\n"
        }
        for facts in status.disks {
            text += "disks by \(facts.strategy.rawValue): "
            text += facts.available ? (facts.chosen ? "available, chosen" : "available") : "not available"
            text += facts.reason.map { ": \($0)" } ?? ""
            text += "\n"
        }
        for condition in status.conditions where condition.state == .yes && condition.type == "Store" {
            text += "store: \(condition.message)\n"
        }
        for condition in status.conditions where condition.state != .yes {
            text += "not \(condition.type): \(condition.message)\n"
        }
        Standard.output(text)
        return 0
    }
}
