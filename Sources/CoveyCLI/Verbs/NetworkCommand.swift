internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey network`.
struct NetworkCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "network", abstract: "Networks of machines.", discussion: "Example: covey network ls",
        subcommands: [
            NetworkListCommand.self, NetworkCreateCommand.self, NetworkSetCommand.self, NetworkInspectCommand.self,
            NetworkRemoveCommand.self,
        ])
}

/// `covey network ls`.
struct NetworkListCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List networks.", discussion: "Example: covey network ls", aliases: ["list"])

    @OptionGroup var global: GlobalOptions

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let columns: [Column<Network>] = [
                Column("NAME") { $0.metadata.name },
                Column("BLOCK") { $0.spec.block.description },
                Column("GATEWAY") { $0.spec.gateway.description },
                Column("IPV6") { $0.spec.block6?.description ?? "-" },
                Column("REACH") { ($0.spec.isolated ? "isolated" : "shared") + ($0.spec.reachesHost ? "+host" : "") },
                Column("EGRESS") { network in
                    let text = network.spec.egress.description
                    return text.count > 40 ? text.prefix(39) + "…" : text
                },
            ]
            try global.printed.list(try await client.listNetworks(), columns) { $0.metadata.name }
            return 0
        }
    }
}

/// `covey network create`.
struct NetworkCreateCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a network.",
        discussion: """
            Machines of it have an address of its block and a name in .vm, and reach the world through the host. Other \
            networks are out of reach, unless both are --shared.

            Example: covey network create web --block 10.90.0.0/24 --egress '*.debian.org:80,10.0.0.0/8:53/udp'
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "The IPv4 block, /16 to /30; a free one where it is left out.")
    var block: AddressBlock?

    @Option(help: "The IPv6 block, a /64 of fd00::/8, or auto.")
    var block6: IPv6Choice?

    @Option(help: "The largest packet, in bytes; 1450 where it is left out.")
    var mtu: Int?

    @Flag(exclusivity: .exclusive, help: "Whether other networks are out of reach, or shared ones are reached.")
    var reach: NetworkReach = .isolated

    @Flag(name: .customLong("host-access"), help: "Machines reach services of the host.")
    var hostAccess = false

    @Option(help: "What machines reach outside: open, closed or RULE,… (HOST[:PORT], *.DOMAIN, CIDR[:PORT][/udp]).")
    var egress: EgressPolicy?

    @Option(name: [.long, .customShort("l")], help: "A label, as KEY=VALUE.")
    var label: [KeyValue] = []

    @Argument(help: "Its name.")
    var name: String

    func perform() async throws -> Int32 {
        let request = NetworkRequest(
            name: name, labels: label.map, block: block, block6: block6 ?? .none, mtu: mtu,
            isolated: reach == .isolated, reachesHost: hostAccess, egress: egress ?? .open)
        return try await global.connect { client in
            let network = try await client.createNetwork(request)
            try global.printed.mutated(network, name: network.metadata.name)
            return 0
        }
    }
}

/// `covey network set`.
struct NetworkSetCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Change a network's policy, also while machines use it.",
        discussion: """
            Its blocks stay. Machines see another MTU at their next start.

            Example: covey network set web --egress closed
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "The largest packet, in bytes.")
    var mtu: Int?

    @Flag(exclusivity: .exclusive, help: "Whether other networks are out of reach, or shared ones are reached.")
    var reach: NetworkReach?

    @Flag(
        name: .customLong("host-access"), inversion: .prefixedNo, help: "Whether machines reach services of the host.")
    var hostAccess: Bool?

    @Option(help: "What machines reach outside: open, closed or RULE,…")
    var egress: EgressPolicy?

    @Argument(help: "The network.")
    var network: String

    func validate() throws {
        if change.isEmpty {
            throw ValidationError("say what to change: --egress, --isolated, --shared, --host-access, --mtu")
        }
    }

    var change: NetworkChange {
        var change = NetworkChange()
        change.mtu = mtu
        change.isolated = reach.map { $0 == .isolated }
        change.reachesHost = hostAccess
        change.egress = egress
        return change
    }

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let changed = try await client.updateNetwork(network, change)
            try global.printed.mutated(changed, name: changed.metadata.name)
            return 0
        }
    }
}

/// `covey network inspect`.
struct NetworkInspectCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Print all that is known of a network.",
        discussion: "Example: covey network inspect default")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The network.")
    var network: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let network = try await client.network(network)
            try global.printed.object(network, name: network.metadata.name)
            return 0
        }
    }
}

/// `covey network rm`.
struct NetworkRemoveCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Delete networks that no machine uses.",
        discussion: "Example: covey network rm web",
        aliases: ["delete"])

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The networks.")
    var networks: [String]

    func perform() async throws -> Int32 {
        try await global.connect { client in
            try await forEach(networks) { name in
                let network = try await client.network(name)
                try await client.deleteNetwork(name)
                try global.printed.mutated(network, name: network.metadata.name)
            }
        }
    }
}

/// Whether a network reaches others.
enum NetworkReach: String, EnumerableFlag, Sendable { case isolated, shared }
