package import CoveyModel

/// All that a host is to carry of the networks of one daemon instance: resolved, without policy left to the adapter.
package struct NetworkState: Hashable, Sendable {
    /// Networks that have a machine on this node.
    package var networks: [HostedNetwork]
    /// Interfaces of machines that run, or are about to.
    package var interfaces: [HostedInterface]

    /// A state; empty carries nothing.
    package init(networks: [HostedNetwork] = [], interfaces: [HostedInterface] = []) {
        self.networks = networks
        self.interfaces = interfaces
    }
}

/// A network as a host carries it: a bridge with the gateway's addresses, and rules.
package struct HostedNetwork: Hashable, Sendable {
    /// The network.
    package var id: NetworkID
    /// Its tenant, for names.
    package var tenant: String
    /// Its name, for messages.
    package var name: String
    /// What is wanted of it; ``NetworkSpec/egress`` counts where an interface has no policy of its own.
    package var spec: NetworkSpec

    /// Makes one.
    package init(id: NetworkID, tenant: String, name: String, spec: NetworkSpec) {
        self.id = id
        self.tenant = tenant
        self.name = name
        self.spec = spec
    }
}

/// Which interface of which machine.
package struct InterfaceKey: Hashable, Comparable, Sendable {
    /// The machine.
    package var machine: MachineID
    /// Its interface, from 0.
    package var index: Int

    /// Makes a key.
    package init(machine: MachineID, index: Int) {
        self.machine = machine
        self.index = index
    }

    package static func < (a: InterfaceKey, b: InterfaceKey) -> Bool { (a.machine, a.index) < (b.machine, b.index) }
}

/// A machine's interface as a host carries it: a tap on the network's bridge.
package struct HostedInterface: Hashable, Sendable {
    /// Whose it is.
    package var key: InterfaceKey
    /// The machine's name.
    package var name: String
    /// The machine's tenant.
    package var tenant: String
    /// The network that it is on.
    package var network: NetworkID
    /// The only MAC address that it may send from.
    package var mac: MACAddress
    /// The only IPv4 address that it may send from.
    package var address: IPv4Address
    /// The only IPv6 address that it may send from, beside the link-local one that its MAC gives; nil is none.
    package var address6: IPv6Address?
    /// The uid that opens the tap.
    package var owner: UInt32
    /// What it reaches outside; nil is what its network says.
    package var egress: EgressPolicy?
    /// Ports of the host that lead to it.
    package var ports: [PublishedPort]
    /// What it may send in a second.
    package var sends: TrafficLimit?
    /// What it may receive in a second.
    package var receives: TrafficLimit?

    /// Makes one without ports and limits.
    package init(
        key: InterfaceKey, name: String, tenant: String, network: NetworkID, mac: MACAddress, address: IPv4Address,
        address6: IPv6Address? = nil, owner: UInt32, egress: EgressPolicy? = nil, ports: [PublishedPort] = [],
        sends: TrafficLimit? = nil, receives: TrafficLimit? = nil
    ) {
        self.key = key
        self.name = name
        self.tenant = tenant
        self.network = network
        self.mac = mac
        self.address = address
        self.address6 = address6
        self.owner = owner
        self.egress = egress
        self.ports = ports
        self.sends = sends
        self.receives = receives
    }
}

/// What went through an interface since its tap was made, seen from the machine.
package struct InterfaceFigures: Hashable, Sendable {
    /// Bytes and packets that the machine received.
    package var receivedBytes: UInt64
    package var receivedPackets: UInt64
    /// Bytes and packets that the machine sent.
    package var sentBytes: UInt64
    package var sentPackets: UInt64
    /// Packets of the machine that its egress policy refused.
    package var deniedPackets: UInt64
    /// Packets of the machine with a source that is not its own.
    package var forgedPackets: UInt64

    /// Makes figures.
    package init(
        receivedBytes: UInt64 = 0, receivedPackets: UInt64 = 0, sentBytes: UInt64 = 0, sentPackets: UInt64 = 0,
        deniedPackets: UInt64 = 0, forgedPackets: UInt64 = 0
    ) {
        self.receivedBytes = receivedBytes
        self.receivedPackets = receivedPackets
        self.sentBytes = sentBytes
        self.sentPackets = sentPackets
        self.deniedPackets = deniedPackets
        self.forgedPackets = forgedPackets
    }
}

/// Addresses that a name's answer opens for an interface whose policy names it.
package struct EgressOpening: Hashable, Sendable {
    /// Whose policy it is.
    package var key: InterfaceKey
    /// The addresses that the answer held.
    package var addresses: [IPAddress]
    /// The ports of the rule; nil is every port.
    package var ports: ClosedRange<UInt16>?
    /// The protocol of the rule; nil is every one.
    package var transport: TransportProtocol?
    /// How long they stay open: the answer's time to live, at least 60 s.
    package var duration: Duration

    /// Makes an opening.
    package init(
        key: InterfaceKey, addresses: [IPAddress], ports: ClosedRange<UInt16>? = nil,
        transport: TransportProtocol? = nil, duration: Duration
    ) {
        self.key = key
        self.addresses = addresses
        self.ports = ports
        self.transport = transport
        self.duration = duration
    }
}
