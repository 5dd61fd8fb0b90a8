/// Who an address of a network is for.
package enum AddressUse: Hashable, Sendable {
    /// It is not of the network's blocks.
    case outside
    /// The block's first address, which stands for the block.
    case network
    /// The gateway's.
    case gateway
    /// Kept for a node: the last host address.
    case node
    /// The block's last address.
    case broadcast
    /// A machine may have it.
    case machine
}

/// Which addresses of a network are for what: arithmetic over its blocks (docs/adr/0014-addresses.md).
package struct AddressPlan: Hashable, Sendable {
    /// The first address of the IPv4 block.
    private let first: UInt32
    /// How many addresses the IPv4 block has, at least 4.
    private let size: UInt32
    /// The upper half of the IPv6 block; nil without IPv6.
    private let high: UInt64?

    /// The plan of a network. Nil for blocks that ``NetworkSpec/check()`` refuses.
    package init?(_ spec: NetworkSpec) {
        guard case .v4(let four) = spec.block.address, (16...30).contains(spec.block.length) else { return nil }
        first = four.bits
        size = 1 << UInt32(32 - spec.block.length)
        switch spec.block6?.address {
        case nil: high = nil
        case .v6(let six): high = six.high
        case .v4: return nil
        }
    }

    /// The places of machines in the block, counted from its first address.
    package var machines: ClosedRange<UInt32> { 2...(hasNodeAddress ? size - 3 : size - 2) }

    /// A block of 4 addresses is for a single machine on a single node.
    private var hasNodeAddress: Bool { size > 4 }

    /// The IPv4 address at a place.
    package func address(at place: UInt32) -> IPv4Address { IPv4Address(bits: first + place) }

    /// The IPv6 address that belongs to a place; nil without IPv6.
    package func address6(at place: UInt32) -> IPv6Address? {
        high.map { IPv6Address(high: $0, low: UInt64(place)) }
    }

    /// An IPv6 address that belongs to no place, from random bits; nil without IPv6.
    package func address6(random bits: UInt64) -> IPv6Address? {
        high.map { IPv6Address(high: $0, low: bits | 1 << 62) }
    }

    /// The place of an IPv4 address; nil for one outside.
    package func place(of address: IPv4Address) -> UInt32? {
        guard address.bits >= first, address.bits - first < size else { return nil }
        return address.bits - first
    }

    /// Who an address is for.
    package func use(of address: IPAddress) -> AddressUse {
        switch address {
        case .v4(let four):
            guard let place = place(of: four) else { return .outside }
            if place == size - 1 { return .broadcast }
            return use(at: UInt64(place))
        case .v6(let six):
            guard six.high == high else { return .outside }
            return use(at: six.low)
        }
    }

    private func use(at place: UInt64) -> AddressUse {
        switch place {
        case 0: .network
        case 1: .gateway
        case UInt64(size - 2) where hasNodeAddress: .node
        case _: .machine
        }
    }
}

extension MACAddress {
    /// The address that a network gives at a place, which nobody else in the network may have: locally administered
    /// (`02:…`), 24 bits of the network's id, and the place. The gateway's place is 1.
    package init(_ network: NetworkID, place: UInt32) {
        self.init(bits: MACAddress.head(network) << 16 | UInt64(place & 0xFFFF))
    }

    /// Whether it is one that ``init(_:place:)`` gives in a network.
    package func isGiven(by network: NetworkID) -> Bool { bits >> 16 == MACAddress.head(network) }

    private static func head(_ network: NetworkID) -> UInt64 { 0x02 << 24 | network.low & 0xFF_FFFF }
}
