/// A network: a block of addresses with a gateway, names and rules.
package struct Network: Hashable, Codable, Sendable {
    /// Id, name, tenant, labels.
    package var metadata: Metadata<Network>
    /// What is wanted.
    package var spec: NetworkSpec
    /// What was seen.
    package var status: NetworkStatus

    /// Puts the parts together.
    package init(metadata: Metadata<Network>, spec: NetworkSpec, status: NetworkStatus) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// The id of a network.
package typealias NetworkID = Identifier<Network>

/// What is wanted of a network.
package struct NetworkSpec: Hashable, Codable, Sendable {
    /// The IPv4 block; its first host address is the gateway.
    package var block: AddressBlock
    /// The IPv6 block, a /64; its first host address is the gateway. Nil is IPv4 alone.
    package var block6: AddressBlock?
    /// The largest packet, in bytes.
    package var mtu: Int
    /// Whether other networks are out of reach: packets between two networks pass where both are not isolated.
    package var isolated: Bool
    /// Whether machines reach services of the host beyond the gateway's names.
    package var reachesHost: Bool
    /// What machines reach outside, unless a machine has a policy of its own.
    package var egress: EgressPolicy
    /// Whether it is to be deleted.
    package var deleting: Bool

    /// Makes a spec with the defaults of `covey network create`.
    package init(
        block: AddressBlock, block6: AddressBlock? = nil, mtu: Int = 1450, isolated: Bool = true,
        reachesHost: Bool = false, egress: EgressPolicy = .open
    ) {
        self.block = block
        self.block6 = block6
        self.mtu = mtu
        self.isolated = isolated
        self.reachesHost = reachesHost
        self.egress = egress
        deleting = false
    }

    /// The gateway's IPv4 address: the first host address of the block.
    package var gateway: IPv4Address {
        switch block.address {
        case .v4(let first): IPv4Address(bits: first.bits | 1)
        // Never stored: a network's block is IPv4.
        case .v6: IPv4Address(bits: 0)
        }
    }

    /// The gateway's IPv6 address; nil without IPv6.
    package var gateway6: IPv6Address? {
        guard let block6, case .v6(let first) = block6.address else { return nil }
        return IPv6Address(high: first.high, low: first.low | 1)
    }
}

/// What was seen of a network.
package struct NetworkStatus: Hashable, Codable, Sendable {
    /// What is to be said of it.
    package var conditions: [Condition]

    /// The status of a network that was just made.
    package init() { conditions = [] }
}

/// What may be reached outside.
package enum EgressPolicy: Hashable, Sendable {
    /// All.
    case open
    /// Nothing.
    case closed
    /// These alone.
    case only([EgressRule])
}

/// A thing outside that may be reached.
package struct EgressRule: Hashable, Sendable {
    /// What is reached.
    package enum Target: Hashable, Sendable {
        /// Addresses.
        case block(AddressBlock)
        /// What our names service answered for this name: lower case, without a final dot.
        case name(String)
        /// What it answered for any name below this domain (`*.DOMAIN`).
        case domain(String)
    }

    /// What is reached.
    package var target: Target
    /// The ports; nil is every port.
    package var ports: ClosedRange<UInt16>?
    /// The protocol; nil is every one.
    package var transport: TransportProtocol?

    /// Makes a rule.
    package init(target: Target, ports: ClosedRange<UInt16>? = nil, transport: TransportProtocol? = nil) {
        self.target = target
        self.ports = ports
        self.transport = transport
    }
}

/// A protocol with ports.
package enum TransportProtocol: String, Codable, Sendable, CaseIterable { case tcp, udp }

/// A port of the host that leads to a machine.
package struct PublishedPort: Hashable, Sendable {
    /// The host's address; nil is loopback.
    package var bind: IPAddress?
    /// The host's port.
    package var hostPort: UInt16
    /// The machine's port.
    package var guestPort: UInt16
    /// TCP or UDP.
    package var transport: TransportProtocol

    /// Makes one.
    package init(
        bind: IPAddress? = nil, hostPort: UInt16, guestPort: UInt16, transport: TransportProtocol = .tcp
    ) {
        self.bind = bind
        self.hostPort = hostPort
        self.guestPort = guestPort
        self.transport = transport
    }
}

extension PublishedPort {
    /// The host's address: loopback where none is given.
    package var place: IPAddress { bind ?? .v4(IPv4Address(bits: 0x7F00_0001)) }

    /// Whether it is `0.0.0.0` or `::`: every address of its version.
    package var isOnEveryAddress: Bool {
        switch place {
        case .v4(let four): four.bits == 0
        case .v6(let six): six.high == 0 && six.low == 0
        }
    }

    /// Whether two cannot be published at once.
    package func overlaps(_ other: PublishedPort) -> Bool {
        guard hostPort == other.hostPort, transport == other.transport else { return false }
        switch (place, other.place) {
        case (.v4, .v4), (.v6, .v6): return isOnEveryAddress || other.isOnEveryAddress || place == other.place
        case (.v4, .v6), (.v6, .v4): return false
        }
    }
}

/// A machine's interface in a network.
package struct NetworkAttachment: Hashable, Codable, Sendable {
    /// The network's name as the user wrote it.
    package var network: String
    /// The network that the name meant.
    package var networkID: NetworkID?
    /// The IPv4 address: the one asked for, and from creation on the machine's own.
    package var address: IPv4Address?
    /// The IPv6 address, where the network has IPv6.
    package var address6: IPv6Address?
    /// The MAC address.
    package var mac: MACAddress?

    /// Makes an attachment.
    package init(
        network: String, networkID: NetworkID? = nil, address: IPv4Address? = nil, address6: IPv6Address? = nil,
        mac: MACAddress? = nil
    ) {
        self.network = network
        self.networkID = networkID
        self.address = address
        self.address6 = address6
        self.mac = mac
    }
}

/// A bound on what passes in a second.
package struct TrafficLimit: Hashable, Codable, Sendable {
    /// Bytes per second; nil is without bound.
    package var bytesPerSecond: Int64?
    /// Packets, or disk operations, per second; nil is without bound.
    package var operationsPerSecond: Int64?
    /// Bytes that may pass at once after a rest; nil is a tenth of a second's worth.
    package var burstBytes: Int64?

    /// Makes a limit.
    package init(bytesPerSecond: Int64? = nil, operationsPerSecond: Int64? = nil, burstBytes: Int64? = nil) {
        self.bytesPerSecond = bytesPerSecond
        self.operationsPerSecond = operationsPerSecond
        self.burstBytes = burstBytes
    }
}
