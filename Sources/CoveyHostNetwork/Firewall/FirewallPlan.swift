internal import CoveyModel
internal import CoveyNetwork

/// All that the firewall of an instance is to hold: a value, from which the script for `nft` is written.
struct FirewallPlan: Hashable, Sendable {
    /// A tap with its interface and its network.
    struct Machine: Hashable, Sendable {
        /// The tap's name.
        var tap: String
        /// The last six digits of the tap's name, by which its counters are called.
        var number: String
        /// The interface.
        var interface: HostedInterface
        /// The bridge of its network.
        var bridge: String
        /// What it reaches outside.
        var policy: FirewallPolicy
    }

    /// A published port that leads to a machine.
    struct Port: Hashable, Sendable {
        /// The port.
        var port: PublishedPort
        /// Where it leads to.
        var target: IPAddress
    }

    /// The names of the instance's things.
    var names: HostNames
    /// The networks with their bridges.
    var networks: [(bridge: String, network: HostedNetwork)] { bridges.map { (names.bridge($0.id), $0) } }
    /// The machines.
    var machines: [Machine] = []
    /// The ports that are held and lead to machines.
    var ports: [Port] = []
    /// Links between which nothing is forwarded, since nothing was before we turned forwarding on.
    var quiet: [String] = []
    /// Whether IPv6 is carried.
    var hasIPv6: Bool
    private var bridges: [HostedNetwork]

    /// The firewall of some networks, without machines.
    init(_ networks: [HostedNetwork], names: HostNames, hasIPv6: Bool) {
        bridges = networks
        self.names = names
        self.hasIPv6 = hasIPv6
    }

    /// Adds an interface with its tap, which has one of our names.
    mutating func add(_ interface: HostedInterface, tap: String) {
        guard let network = bridges.first(where: { $0.id == interface.network }), let number = names.number(tap) else {
            return
        }
        machines.append(
            Machine(
                tap: tap, number: number, interface: interface, bridge: names.bridge(network.id),
                policy: FirewallPolicy(interface.egress ?? network.spec.egress)))
    }

    /// The addresses of a machine that are carried.
    func addresses(_ machine: Machine) -> [IPAddress] {
        var all: [IPAddress] = [.v4(machine.interface.address)]
        if hasIPv6, let six = machine.interface.address6 { all.append(.v6(six)) }
        return all
    }

    /// The policy of each address, by which openings are judged.
    var policies: [IPAddress: FirewallPolicy] {
        var all: [IPAddress: FirewallPolicy] = [:]
        for machine in machines { for address in addresses(machine) { all[address] = machine.policy } }
        return all
    }

    /// All distinct policies that have rules.
    var ruled: [FirewallPolicy] {
        var seen: Set<String> = []
        return machines.map(\.policy).filter { !$0.rules.isEmpty && seen.insert($0.chain).inserted }
    }

    /// All shapes of openings that a policy has.
    var shapes: [OpeningShape] { Set(ruled.flatMap(\.shapes)).sorted { $0.name < $1.name } }
}

/// An egress policy as the firewall has it: a chain to go to.
struct FirewallPolicy: Hashable, Sendable {
    /// The chain that judges.
    let chain: String
    /// The rules of an allow-list.
    let rules: [EgressRule]

    /// A policy's chain.
    init(_ policy: EgressPolicy) {
        switch policy {
        case .open: (chain, rules) = ("pass", [])
        case .closed: (chain, rules) = ("deny", [])
        case .only(let rules) where rules.isEmpty: (chain, self.rules) = ("deny", [])
        case .only(let rules): (chain, self.rules) = ("p_" + FirewallPolicy.mark(policy.description), rules)
        }
    }

    /// The shapes of what its names open.
    var shapes: [OpeningShape] {
        var shapes: [OpeningShape] = []
        for rule in rules {
            let shape = OpeningShape(transport: rule.transport, ports: rule.ports)
            switch rule.target {
            case .block: break
            case .name, .domain: if !shapes.contains(shape) { shapes.append(shape) }
            }
        }
        return shapes
    }

    /// What stands beside the openings of this policy, so that another policy does not keep them.
    var mark: String { chain }

    /// FNV-1a of a text, 64 bits in hex.
    private static func mark(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(hash, radix: 16)
    }
}

/// Ports and protocol of what an answer opens; each shape has a set of its own, so that a set needs no intervals.
struct OpeningShape: Hashable, Sendable {
    /// The protocol; nil is every one.
    var transport: TransportProtocol?
    /// The ports; nil is every one.
    var ports: ClosedRange<UInt16>?

    /// What its sets are called.
    var name: String {
        let ports = ports.map { "_\($0.lowerBound)_\($0.upperBound)" } ?? ""
        return (transport?.rawValue ?? "any") + ports
    }

    /// What a packet must be, before the verdict.
    var condition: String {
        let range = ports.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
        return switch (transport, range) {
        case (nil, nil): ""
        case (let transport?, nil): "meta l4proto \(transport.rawValue) "
        case (nil, let range?): "meta l4proto { tcp, udp } th dport \(range) "
        case (let transport?, let range?): "\(transport.rawValue) dport \(range) "
        }
    }

    /// The set for a version's addresses.
    func set(_ address: IPAddress) -> String { (address.isVersion6 ? "o6_" : "o4_") + name }
}
