internal import CoveyModel

/// An address of a link. Source: rtnetlink(7).
struct HostAddress: Hashable, Sendable {
    /// The link.
    var link: Int32
    /// The address.
    var address: IPAddress
    /// The length of its block.
    var length: Int

    /// Whether it is an IPv6 address that the link gave itself.
    var isLinkLocal: Bool {
        switch address {
        case .v4: false
        case .v6(let six): six.high >> 54 == 0x3FA
        }
    }

    /// An address with its block's length.
    init(link: Int32, address: IPAddress, length: Int) {
        self.link = link
        self.address = address
        self.length = length
    }

    /// Reads an `RTM_NEWADDR`. Nil for anything else.
    init?(_ answer: NetlinkAnswer) {
        guard answer.type == RouteType.newAddress, let family = answer.body.first,
            let length = answer.body.integer(at: 1, as: UInt8.self),
            let link = answer.body.integer(at: 4, as: Int32.self)
        else { return nil }
        let attributes = answer.attributes(after: 8)
        let local = attributes.first { $0.type == AddressAttribute.local }
        guard let value = local ?? attributes.first(where: { $0.type == AddressAttribute.address }),
            let address = IPAddress(family: family, bytes: value.value)
        else { return nil }
        self.init(link: link, address: address, length: Int(length))
    }

    private var message: (header: [UInt8], bytes: [UInt8]) {
        // struct ifaddrmsg: family, length, flags, scope, link. The flag spares the search for duplicates.
        ([address.family, UInt8(length), address.isVersion6 ? 2 : 0, 0] + link.native, address.bytes)
    }

    /// The message that adds it to its link.
    var adding: NetlinkMessage {
        var message = NetlinkMessage(
            type: RouteType.newAddress, flags: [.create, .exclusive, .acknowledge], header: message.header)
        message.add(AddressAttribute.local, address.bytes)
        message.add(AddressAttribute.address, address.bytes)
        return message
    }

    /// The message that takes it away.
    var removing: NetlinkMessage {
        var message = NetlinkMessage(type: RouteType.deleteAddress, flags: .acknowledge, header: message.header)
        message.add(AddressAttribute.local, address.bytes)
        message.add(AddressAttribute.address, address.bytes)
        return message
    }
}

/// A block that is routed on the host. Source: rtnetlink(7).
struct HostRoute: Hashable, Sendable {
    /// Where it leads to; a default route has length 0.
    var block: AddressBlock
    /// The link that it leaves by.
    var link: Int32?
    /// The table that it stands in.
    var table: UInt32

    static let localTable: UInt32 = 255

    /// Reads an `RTM_NEWROUTE` to hosts. Nil for anything else.
    init?(_ answer: NetlinkAnswer) {
        guard answer.type == RouteType.newRoute, let family = answer.body.first,
            let length = answer.body.integer(at: 1, as: UInt8.self),
            let table = answer.body.integer(at: 4, as: UInt8.self),
            let type = answer.body.integer(at: 7, as: UInt8.self), type == 1,
            let zero = IPAddress(family: family, bytes: [UInt8](repeating: 0, count: family == 2 ? 4 : 16)[...])
        else { return nil }
        self.table = UInt32(table)
        var target = zero
        for attribute in answer.attributes(after: 12) {
            switch attribute.type {
            case 1: target = IPAddress(family: family, bytes: attribute.value) ?? zero
            case 4: link = attribute.integer(as: Int32.self)
            case 15: self.table = attribute.integer(as: UInt32.self) ?? UInt32(table)
            case _: break
            }
        }
        guard let block = AddressBlock(target, length: Int(length)) else { return nil }
        self.block = block
    }
}

extension NetlinkMessage {
    /// Asks for all addresses.
    static func allAddresses() -> NetlinkMessage {
        NetlinkMessage(type: RouteType.getAddress, flags: .dump, header: [UInt8](repeating: 0, count: 8))
    }

    /// Asks for all routes.
    static func allRoutes() -> NetlinkMessage {
        NetlinkMessage(type: RouteType.getRoute, flags: .dump, header: [UInt8](repeating: 0, count: 12))
    }
}

/// `IFA_…`. Source: `include/uapi/linux/if_addr.h`.
enum AddressAttribute {
    static let address: UInt16 = 1
    static let local: UInt16 = 2
}

extension IPAddress {
    /// `AF_INET` or `AF_INET6`.
    var family: UInt8 { isVersion6 ? 10 : 2 }

    /// Whether it is of version 6.
    var isVersion6: Bool {
        switch self {
        case .v4: false
        case .v6: true
        }
    }

    /// Its bytes in network order.
    var bytes: [UInt8] {
        switch self {
        case .v4(let four): four.bytes
        case .v6(let six): six.bytes
        }
    }

    /// An address of a family and its bytes in network order. Nil for another family or length.
    init?(family: UInt8, bytes: ArraySlice<UInt8>) {
        let half = { (part: ArraySlice<UInt8>) in part.reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
        switch (family, bytes.count) {
        case (2, 4): self = .v4(IPv4Address(bits: UInt32(truncatingIfNeeded: half(bytes))))
        case (10, 16): self = .v6(IPv6Address(high: half(bytes.prefix(8)), low: half(bytes.suffix(8))))
        case _: return nil
        }
    }
}
