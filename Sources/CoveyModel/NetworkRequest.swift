/// What a caller asks of a new network.
package struct NetworkRequest: Hashable, Codable, Sendable {
    /// A DNS label.
    package var name: String
    /// Free labels.
    package var labels: [String: String]
    /// The IPv4 block; nil lets the daemon choose a free one.
    package var block: AddressBlock?
    /// The IPv6 block.
    package var block6: IPv6Choice
    /// The largest packet; nil is 1450.
    package var mtu: Int?
    /// Whether other networks are out of reach.
    package var isolated: Bool
    /// Whether machines reach services of the host beyond the gateway's names.
    package var reachesHost: Bool
    /// What machines reach outside.
    package var egress: EgressPolicy

    /// A request with the defaults of `covey network create`.
    package init(
        name: String, labels: [String: String] = [:], block: AddressBlock? = nil, block6: IPv6Choice = .none,
        mtu: Int? = nil, isolated: Bool = true, reachesHost: Bool = false, egress: EgressPolicy = .open
    ) {
        self.name = name
        self.labels = labels
        self.block = block
        self.block6 = block6
        self.mtu = mtu
        self.isolated = isolated
        self.reachesHost = reachesHost
        self.egress = egress
    }
}

/// Which IPv6 block a new network gets.
package enum IPv6Choice: Hashable, Sendable {
    /// None.
    case none
    /// One made at random (RFC 4193).
    case auto
    /// This one.
    case block(AddressBlock)
}

extension IPv6Choice: TextCoded {
    /// Reads `none`, `auto` or a block. Nil for anything else.
    package init?(_ text: String) {
        switch text {
        case "none": self = .none
        case "auto": self = .auto
        case _:
            guard let block = AddressBlock(text) else { return nil }
            self = .block(block)
        }
    }

    /// The text that ``init(_:)`` reads.
    package var description: String {
        switch self {
        case .none: "none"
        case .auto: "auto"
        case .block(let block): block.description
        }
    }
}

/// What is changed of a network; what is nil stays. Its blocks stay as long as it does.
package struct NetworkChange: Hashable, Codable, Sendable {
    /// The largest packet.
    package var mtu: Int?
    /// Whether other networks are out of reach.
    package var isolated: Bool?
    /// Whether machines reach services of the host beyond the gateway's names.
    package var reachesHost: Bool?
    /// What machines reach outside.
    package var egress: EgressPolicy?

    /// A change of nothing.
    package init() {}

    /// Whether nothing is changed.
    package var isEmpty: Bool { self == NetworkChange() }

    /// Applies it.
    package func apply(to spec: inout NetworkSpec) {
        if let mtu { spec.mtu = mtu }
        if let isolated { spec.isolated = isolated }
        if let reachesHost { spec.reachesHost = reachesHost }
        if let egress { spec.egress = egress }
    }
}

extension MachineSpec {
    /// The addresses of all interfaces, in their order.
    package var addresses: [IPAddress] {
        networks.flatMap { network in
            [network.address.map { IPAddress.v4($0) }, network.address6.map { IPAddress.v6($0) }].compactMap { $0 }
        }
    }
}
