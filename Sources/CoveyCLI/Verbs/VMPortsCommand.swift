internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey vm ports`.
struct VMPortsCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ports", abstract: "Show what listens in a machine and where it is reached.",
        discussion: "Example: covey vm ports web")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The machine.")
    var vm: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let machine = try await client.machine(vm)
            var listening: [ListeningPort] = []
            do {
                listening = try await client.listeningPorts(machine.metadata.id.description)
            } catch let error as CoveyError where [.conflict, .unavailable, .unsupported].contains(error.code) {
                // What is published is known without the guest.
                Standard.error("covey: what listens in vm \(machine.metadata.name) is not known: \(error.message)\n")
            }
            let columns: [Column<MachinePort>] = [
                Column("PORT") { "\($0.port)/\($0.transport.rawValue)" },
                Column("LISTENS") { $0.address?.description ?? "-" },
                Column("PROGRAM") { port in
                    guard let program = port.program else { return "-" }
                    return port.pid.map { "\(program) (\($0))" } ?? program
                },
                Column("REACHED AT") { $0.reachable.isEmpty ? "-" : $0.reachable.joined(separator: ", ") },
                Column("PUBLISHED") { port in
                    port.published.isEmpty ? "-" : port.published.map(\.description).joined(separator: ", ")
                },
            ]
            try global.printed.list(MachinePort.all(of: machine, listening: listening), columns) {
                "\($0.port)/\($0.transport.rawValue)"
            }
            return 0
        }
    }
}

/// A port of a machine: who listens there and where it is reached.
struct MachinePort: Encodable, Hashable, Sendable {
    /// The machine's port.
    let port: UInt16
    /// TCP or UDP.
    let transport: TransportProtocol
    /// What is listened on; nil where nothing does.
    var address: IPAddress?
    /// The program that listens; nil where it cannot be seen.
    var program: String?
    /// Its pid in the machine.
    var pid: Int32?
    /// Where other machines and the host reach it, as `NAME:PORT` and `ADDRESS:PORT`.
    var reachable: [String] = []
    /// Ports of the host that lead there.
    var published: [PublishedPort] = []

    /// What listens in a machine, and what is published though nothing listens.
    static func all(of machine: VirtualMachine, listening: [ListeningPort]) -> [MachinePort] {
        var ports = listening.sorted().map { seen in
            var port = MachinePort(
                port: seen.port, transport: seen.transport, address: seen.address, program: seen.program, pid: seen.pid)
            let reached = machine.spec.addresses.filter { seen.address.covers($0) }
            if !reached.isEmpty {
                port.reachable = ["\(machine.metadata.name).vm:\(seen.port)"]
                port.reachable += reached.map { $0.text(with: seen.port) }
                port.published = machine.spec.ports.filter {
                    $0.guestPort == seen.port && $0.transport == seen.transport
                }
            }
            return port
        }
        for published in machine.spec.ports where !ports.contains(where: { $0.published.contains(published) }) {
            var port = MachinePort(port: published.guestPort, transport: published.transport)
            port.published = [published]
            ports.append(port)
        }
        return ports.sorted { ($0.port, $0.transport.rawValue) < ($1.port, $1.transport.rawValue) }
    }
}

extension IPAddress {
    /// Whether who listens on this address is reached by another; `::` takes IPv4, too, as Linux has it.
    fileprivate func covers(_ other: IPAddress) -> Bool {
        switch (self, other) {
        case (.v4(let mine), .v4): mine.bits == 0 || self == other
        case (.v6(let mine), _): mine.high == 0 && mine.low == 0 || self == other
        case (.v4, .v6): false
        }
    }

    /// `ADDRESS:PORT`, with IPv6 in brackets.
    fileprivate func text(with port: UInt16) -> String {
        switch self {
        case .v4: "\(self):\(port)"
        case .v6: "[\(self)]:\(port)"
        }
    }
}
