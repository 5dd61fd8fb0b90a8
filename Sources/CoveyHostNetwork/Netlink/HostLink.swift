internal import CoveyModel

/// A link of the host as the kernel describes it. Source: rtnetlink(7), `include/uapi/linux/if_link.h`.
struct HostLink: Hashable, Sendable {
    /// The number by which it is spoken of.
    var index: Int32
    /// Its name.
    var name: String
    /// `bridge`, `tun`, `veth`; nil for a device without a kind.
    var kind: String?
    /// The text that we, or somebody, gave it.
    var alias: String?
    /// Its address; nil where it has none, or one of another length.
    var mac: MACAddress?
    /// Its largest packet.
    var mtu = 0
    /// The bridge that it is a port of.
    var master: Int32?
    /// Whether it is set up.
    var isUp = false
    /// Whether somebody is on the other end: of a tap, whether a program holds it open.
    var hasCarrier = false
    /// The name of its root queue.
    var queue: String?
    /// The uid that may open a tap.
    var owner: UInt32?
    /// Whether it is a tap: a tun device for frames.
    var isTap = false
    /// What it received and sent, as the host sees it.
    var received: (bytes: UInt64, packets: UInt64) { (counts[2], counts[0]) }
    var sent: (bytes: UInt64, packets: UInt64) { (counts[3], counts[1]) }
    private var counts: [UInt64] = [0, 0, 0, 0]

    /// Reads an `RTM_NEWLINK`. Nil for anything else.
    init?(_ answer: NetlinkAnswer) {
        guard answer.type == RouteType.newLink, let index = answer.body.integer(at: 4, as: Int32.self),
            let flags = answer.body.integer(at: 8, as: UInt32.self)
        else { return nil }
        self.index = index
        name = ""
        isUp = flags & 1 != 0
        for attribute in answer.attributes(after: 16) {
            switch attribute.type {
            case LinkAttribute.address:
                if attribute.value.count == 6 {
                    mac = MACAddress(bits: attribute.value.reduce(0) { $0 << 8 | UInt64($1) })
                }
            case LinkAttribute.name: name = attribute.text
            case LinkAttribute.mtu: mtu = Int(attribute.integer(as: UInt32.self) ?? 0)
            case LinkAttribute.queue: queue = attribute.text
            case LinkAttribute.master: master = attribute.integer(as: Int32.self)
            case LinkAttribute.alias: alias = attribute.text
            case LinkAttribute.carrier: hasCarrier = attribute.integer(as: UInt8.self) == 1
            case LinkAttribute.statistics64:
                counts = (0..<4).map { attribute.value.integer(at: $0 * 8, as: UInt64.self) ?? 0 }
            case LinkAttribute.information: readInformation(attribute.nested)
            case _: break
            }
        }
    }

    private mutating func readInformation(_ attributes: [NetlinkAttribute]) {
        kind = attributes.first { $0.type == LinkAttribute.kind }?.text
        guard kind == "tun", let data = attributes.first(where: { $0.type == LinkAttribute.data }) else { return }
        for attribute in data.nested {
            switch attribute.type {
            case LinkAttribute.tunOwner: owner = attribute.integer(as: UInt32.self)
            case LinkAttribute.tunType: isTap = attribute.integer(as: UInt8.self) == 2
            case _: break
            }
        }
    }

    static func == (a: HostLink, b: HostLink) -> Bool { a.index == b.index && a.name == b.name }

    func hash(into hasher: inout Hasher) {
        hasher.combine(index)
        hasher.combine(name)
    }
}

/// What is to be different about a link; nil stays as it is.
struct LinkChange: Hashable, Sendable {
    /// Another name.
    var name: String?
    /// Another text.
    var alias: String?
    /// Another address.
    var mac: MACAddress?
    /// Another largest packet.
    var mtu: Int?
    /// The bridge that it becomes a port of.
    var master: Int32?
    /// Up or down.
    var isUp: Bool?
}

/// Types of messages. Source: `include/uapi/linux/rtnetlink.h`.
enum RouteType {
    static let newLink: UInt16 = 16
    static let deleteLink: UInt16 = 17
    static let getLink: UInt16 = 18
    static let newAddress: UInt16 = 20
    static let deleteAddress: UInt16 = 21
    static let getAddress: UInt16 = 22
    static let newRoute: UInt16 = 24
    static let getRoute: UInt16 = 26
    static let newQueue: UInt16 = 36
    static let deleteQueue: UInt16 = 37
    static let newFilter: UInt16 = 44
}

/// `IFLA_…`. Source: `include/uapi/linux/if_link.h`.
enum LinkAttribute {
    static let address: UInt16 = 1
    static let name: UInt16 = 3
    static let mtu: UInt16 = 4
    static let queue: UInt16 = 6
    static let master: UInt16 = 10
    static let information: UInt16 = 18
    static let alias: UInt16 = 20
    static let statistics64: UInt16 = 23
    static let extendedMask: UInt16 = 29
    static let carrier: UInt16 = 33
    static let kind: UInt16 = 1
    static let data: UInt16 = 2
    static let tunOwner: UInt16 = 1
    static let tunType: UInt16 = 3
    static let bridgeForwardDelay: UInt16 = 1
    static let bridgeSpanningTree: UInt16 = 5
    static let bridgeSnooping: UInt16 = 23
}

extension NetlinkMessage {
    /// Asks for all links.
    static func allLinks() -> NetlinkMessage {
        NetlinkMessage(type: RouteType.getLink, flags: .dump, header: linkHeader(index: 0))
    }

    /// Makes a bridge that learns, without spanning tree, that passes every multicast on.
    static func newBridge(_ name: String, mac: MACAddress, mtu: Int) -> NetlinkMessage {
        var message = NetlinkMessage(
            type: RouteType.newLink, flags: [.create, .exclusive, .acknowledge], header: linkHeader(index: 0))
        message.add(LinkAttribute.name, text: name)
        message.add(LinkAttribute.address, mac.bytes)
        message.add(LinkAttribute.mtu, UInt32(mtu))
        let settings =
            NetlinkAttribute.encoded(LinkAttribute.bridgeForwardDelay, UInt32(0).native)
            + NetlinkAttribute.encoded(LinkAttribute.bridgeSpanningTree, UInt32(0).native)
            + NetlinkAttribute.encoded(LinkAttribute.bridgeSnooping, UInt8(0).native)
        message.add(
            LinkAttribute.information,
            nested: [
                (LinkAttribute.kind, Array("bridge".utf8)),
                (LinkAttribute.data | NetlinkAttribute.nestedFlag, settings),
            ])
        return message
    }

    /// Changes a link.
    static func change(_ index: Int32, _ change: LinkChange) -> NetlinkMessage {
        let flags: (value: UInt32, mask: UInt32) = change.isUp.map { ($0 ? 1 : 0, 1) } ?? (0, 0)
        var message = NetlinkMessage(
            type: RouteType.newLink, flags: .acknowledge,
            header: linkHeader(index: index, flags: flags.value, mask: flags.mask))
        if let name = change.name { message.add(LinkAttribute.name, text: name) }
        if let mac = change.mac { message.add(LinkAttribute.address, mac.bytes) }
        if let mtu = change.mtu { message.add(LinkAttribute.mtu, UInt32(mtu)) }
        if let master = change.master { message.add(LinkAttribute.master, master) }
        if let alias = change.alias { message.add(LinkAttribute.alias, Array(alias.utf8)) }
        return message
    }

    /// Changes a link that is known by its name.
    static func change(name: String, _ change: LinkChange) -> NetlinkMessage {
        var message = NetlinkMessage.change(0, change)
        message.add(LinkAttribute.name, text: name)
        return message
    }

    /// Takes a link away.
    static func deleteLink(_ index: Int32) -> NetlinkMessage {
        NetlinkMessage(type: RouteType.deleteLink, flags: .acknowledge, header: linkHeader(index: index))
    }

    /// `struct ifinfomsg`.
    static func linkHeader(index: Int32, flags: UInt32 = 0, mask: UInt32 = 0) -> [UInt8] {
        [0, 0, 0, 0] + index.native + flags.native + mask.native
    }
}
