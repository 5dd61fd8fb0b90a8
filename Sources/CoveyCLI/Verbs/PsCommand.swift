internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey ps`.
struct PsCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ps", abstract: "List running machines.",
        discussion: "Example: covey ps -a")

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Those that do not run, too.")
    var all = false

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let machines = try await client.listMachines()
            let shown = machines.filter { all || !$0.status.phase.isDown }
            try global.printed.list(shown, try await MachineColumns.columns(for: shown, of: client)) {
                $0.metadata.name
            }
            return 0
        }
    }
}

extension MachinePhase {
    /// Whether `ps` leaves it out.
    fileprivate var isDown: Bool {
        switch self {
        case .stopped, .failed: true
        case .pending, .scheduled, .preparing, .starting, .running, .paused, .stopping, .deleting, .unknown: false
        }
    }
}

/// How machines are listed.
enum MachineColumns {
    /// With the node's name where there are machines of several.
    static func columns(
        for machines: [VirtualMachine], of client: CoveyClient
    ) async throws -> [Column<VirtualMachine>] {
        guard Set(machines.map(\.status.node)).count > 1 else { return all }
        let nodes = try await client.listNodes()
        let names = Dictionary(nodes.map { ($0.metadata.id, $0.metadata.name) }) { first, _ in first }
        var columns = all
        columns.insert(Column("NODE") { $0.status.node.map { names[$0] ?? "\($0)" } ?? "-" }, at: 3)
        return columns
    }

    static var all: [Column<VirtualMachine>] {
        [
            Column("NAME") { $0.metadata.name },
            Column("IMAGE") { $0.spec.image },
            Column("STATE") { machine in
                // A user's stop is no end of the program's own.
                let ended = machine.status.lastEnd == .stopped ? nil : machine.status.exitCode
                let code = ended.map { " (\($0))" } ?? ""
                return machine.status.phase.rawValue + (machine.status.phase == .stopped ? code : "")
            },
            Column("CPUS") { String($0.spec.cpus) },
            Column("MEMORY") { $0.spec.memory.description },
            Column("ADDRESS") { $0.status.addresses.first ?? "-" },
            Column("PORTS") { machine in
                let ports = machine.status.ports
                guard ports.count > 2 else { return ports.isEmpty ? "-" : ports.joined(separator: ",") }
                return "\(ports[0]),\(ports[1]),+\(ports.count - 2)"
            },
            Column("COMMAND") { machine in
                let text = machine.spec.program?.arguments.joined(separator: " ") ?? "-"
                let plain = String(text.map { $0.isNewline ? " " : $0 })
                return plain.count > 40 ? plain.prefix(39) + "…" : plain
            },
            Column("CREATED") { String($0.metadata.createdAt.description.prefix(19)) + "Z" },
        ]
    }
}
