internal import CoveyModel

/// A message to the kernel about links, addresses and routes. Source: rtnetlink(7), `linux/rtnetlink.h`.
struct RouteMessage: Equatable {
    /// What is done, with the kernel's numbers.
    enum Kind: UInt16 {
        case setLink = 16
        case getLink = 18
        case addAddress = 20
        case removeAddress = 21
        case addRoute = 24
        case removeRoute = 25
    }

    /// The flags of a message's head.
    struct Flags: OptionSet {
        let rawValue: UInt16
        static let request = Flags(rawValue: 0x1)
        static let acknowledge = Flags(rawValue: 0x4)
        static let replace = Flags(rawValue: 0x100)
        static let create = Flags(rawValue: 0x400)
        static let dump = Flags(rawValue: 0x300)
    }

    /// The metric of the first interface's default route; the next ones have the numbers after it.
    static let metric: UInt32 = 100

    private static let up: UInt32 = 1
    private static let noDuplicateCheck: UInt8 = 0x02
    private static let mainTable: UInt8 = 254
    private static let setAtBoot: UInt8 = 3
    private static let unicast: UInt8 = 1

    let kind: Kind
    let flags: Flags
    /// What follows the head.
    private(set) var body: [UInt8]

    private init(_ kind: Kind, _ flags: Flags, _ body: [UInt8]) {
        self.kind = kind
        self.flags = flags
        self.body = body
    }

    /// The whole message.
    func bytes(sequence: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(native: UInt32(16 + body.count))
        bytes.append(native: kind.rawValue)
        bytes.append(native: flags.rawValue)
        bytes.append(native: sequence)
        bytes.append(native: UInt32(0))
        return bytes + body
    }

    /// Asks for all links.
    static let links = RouteMessage(.getLink, [.request, .dump], [UInt8](repeating: 0, count: 16))

    /// Switches a link on or off, and gives it a length of packets where one is named.
    static func link(_ index: UInt32, isUp: Bool, mtu: Int? = nil) -> RouteMessage {
        var body: [UInt8] = [0, 0, 0, 0]
        body.append(native: index)
        body.append(native: isUp ? up : 0)
        body.append(native: up)
        var message = RouteMessage(.setLink, [.request, .acknowledge], body)
        if let mtu { message.attribute(4, UInt32(clamping: mtu)) }
        return message
    }

    /// Changes a link's address alone.
    static func address(_ mac: MACAddress, of index: UInt32) -> RouteMessage {
        var body: [UInt8] = [0, 0, 0, 0]
        body.append(native: index)
        body.append(native: UInt32(0))
        body.append(native: UInt32(0))
        var message = RouteMessage(.setLink, [.request, .acknowledge], body)
        message.attribute(1, mac.bytes)
        return message
    }

    /// Gives a link an address; one that it has stays. Covey gives each away once, so that nobody need be asked for it.
    static func add(_ address: LinkAddress, to index: UInt32) -> RouteMessage {
        address.message(.addAddress, [.request, .acknowledge, .replace, .create], index)
    }

    /// Takes an address away from a link.
    static func remove(_ address: LinkAddress, from index: UInt32) -> RouteMessage {
        address.message(.removeAddress, [.request, .acknowledge], index)
    }

    /// Sends what no link reaches through a gateway.
    static func addDefault(_ gateway: IPAddress, by index: UInt32, metric: UInt32) -> RouteMessage {
        defaultRoute(.addRoute, [.request, .acknowledge, .replace, .create], gateway, index, metric)
    }

    /// Ends ``addDefault(_:by:metric:)``.
    static func removeDefault(_ gateway: IPAddress, by index: UInt32, metric: UInt32) -> RouteMessage {
        defaultRoute(.removeRoute, [.request, .acknowledge], gateway, index, metric)
    }

    private static func defaultRoute(
        _ kind: Kind, _ flags: Flags, _ gateway: IPAddress, _ index: UInt32, _ metric: UInt32
    ) -> RouteMessage {
        var message = RouteMessage(
            kind, flags, [gateway.family, 0, 0, 0, mainTable, setAtBoot, 0, unicast, 0, 0, 0, 0])
        message.attribute(5, gateway.octets)
        message.attribute(6, metric)
        message.attribute(4, index)
        return message
    }

    fileprivate mutating func attribute(_ type: UInt16, _ value: [UInt8]) {
        body.append(native: UInt16(4 + value.count))
        body.append(native: type)
        body += value
        while body.count % 4 != 0 { body.append(0) }
    }

    private mutating func attribute(_ type: UInt16, _ value: UInt32) {
        var bytes: [UInt8] = []
        bytes.append(native: value)
        attribute(type, bytes)
    }

    /// An address as a link has it.
    struct LinkAddress: Hashable {
        var address: IPAddress
        var prefix: UInt8

        fileprivate func message(_ kind: Kind, _ flags: Flags, _ index: UInt32) -> RouteMessage {
            let marks: UInt8 =
                switch address {
                case .v4: 0
                case .v6: RouteMessage.noDuplicateCheck
                }
            var body: [UInt8] = [address.family, prefix, kind == .addAddress ? marks : 0, 0]
            body.append(native: index)
            var message = RouteMessage(kind, flags, body)
            message.attribute(2, address.octets)
            if case .v4(let four) = address, kind == .addAddress, prefix < 31 {
                let hosts = prefix == 0 ? UInt32.max : UInt32.max >> UInt32(prefix)
                message.attribute(4, IPv4Address(bits: four.bits | hosts).bytes)
            }
            message.attribute(1, address.octets)
            return message
        }
    }
}

/// A network device of the machine.
struct RouteLink: Equatable {
    /// The kernel's number.
    var index: UInt32
    /// Its name.
    var name: String
    /// Its address; nil where it has none of six octets.
    var mac: MACAddress?
    /// Whether it is Ethernet and not made by software: `veth` and bridges are, a machine's own devices are not.
    var isDevice: Bool

    private static let ethernet: UInt16 = 1

    /// Reads what follows a message's head. Nil where it is cut off.
    init?(_ body: ArraySlice<UInt8>) {
        guard body.count >= 16 else { return nil }
        let start = body.startIndex
        let type = body.native(UInt16.self, at: start + 2)
        index = body.native(UInt32.self, at: start + 4)
        name = ""
        var isSoftware = false
        var position = start + 16
        while position + 4 <= body.endIndex {
            let length = Int(body.native(UInt16.self, at: position))
            // The two highest bits say how the kernel wrote it.
            let kind = body.native(UInt16.self, at: position + 2) & 0x3FFF
            guard length >= 4, length <= body.endIndex - position else { return nil }
            let value = body[(position + 4)..<(position + length)]
            switch kind {
            case 1 where value.count == 6: mac = MACAddress(bits: value.reduce(0) { $0 << 8 | UInt64($1) })
            case 3: name = String(decoding: value.prefix { $0 != 0 }, as: UTF8.self)
            case 18: isSoftware = true
            case _: break
            }
            position += (length + 3) / 4 * 4
        }
        isDevice = type == RouteLink.ethernet && !isSoftware
    }

    /// A link, for who knows it already.
    init(index: UInt32, name: String, mac: MACAddress?, isDevice: Bool) {
        self.index = index
        self.name = name
        self.mac = mac
        self.isDevice = isDevice
    }
}

extension IPAddress {
    /// The family's number in the kernel.
    fileprivate var family: UInt8 {
        switch self {
        case .v4: 2
        case .v6: 10
        }
    }

    /// The 4 or 16 octets.
    fileprivate var octets: [UInt8] {
        switch self {
        case .v4(let four): four.bytes
        case .v6(let six): six.bytes
        }
    }
}

extension [UInt8] {
    /// Adds a number in the machine's order, as the kernel wants it.
    mutating func append(native value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value) { append(contentsOf: $0) }
    }
}

extension ArraySlice<UInt8> {
    /// The number at a position that is there.
    func native<T: FixedWidthInteger>(_ type: T.Type, at position: Int) -> T {
        self[position..<(position + MemoryLayout<T>.size)].withUnsafeBytes { $0.loadUnaligned(as: T.self) }
    }
}
