/// An IPv4 address, in host order.
package struct IPv4Address: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The 32 bits, the first octet most significant.
    package var bits: UInt32

    /// An address from its bits.
    package init(bits: UInt32) { self.bits = bits }

    /// Reads `a.b.c.d` in decimals without leading zeros. Nil for anything else.
    package init?(_ text: String) {
        var bits: UInt32 = 0
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        for part in parts {
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
            var octet: UInt32 = 0
            for digit in part {
                guard (48...57).contains(digit) else { return nil }
                octet = octet * 10 + UInt32(digit - 48)
            }
            guard octet < 256 else { return nil }
            bits = bits << 8 | octet
        }
        self.bits = bits
    }

    /// `a.b.c.d`.
    package var description: String { "\(bits >> 24).\(bits >> 16 & 255).\(bits >> 8 & 255).\(bits & 255)" }

    /// The four octets, first first.
    package var bytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: bits >> UInt32(24 - $0 * 8)) } }

    /// Whether it is of 127.0.0.0/8.
    package var isLoopback: Bool { bits >> 24 == 127 }

    package static func < (a: IPv4Address, b: IPv4Address) -> Bool { a.bits < b.bits }
}

/// An IPv6 address.
package struct IPv6Address: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The first eight bytes.
    package var high: UInt64
    /// The last eight bytes.
    package var low: UInt64

    /// An address from its halves.
    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Reads the text forms of RFC 4291, without a zone. Nil for anything else.
    package init?(_ text: String) {
        var groups: [UInt16] = []
        var gap: Int?
        let parts = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard (3...9).contains(parts.count) else { return nil }
        for (index, part) in parts.enumerated() {
            if part.isEmpty {
                // A colon at an end is one of two.
                if index == 0 {
                    guard parts[1].isEmpty else { return nil }
                } else if index == parts.count - 1 {
                    guard parts[index - 1].isEmpty else { return nil }
                } else {
                    guard gap == nil else { return nil }
                    gap = groups.count
                }
            } else if index == parts.count - 1, let four = IPv4Address(String(Substring(part))) {
                groups += [UInt16(four.bits >> 16), UInt16(four.bits & 0xFFFF)]
            } else {
                guard part.count <= 4, part.allSatisfy(\.isHexDigit), let group = UInt16(Substring(part), radix: 16)
                else { return nil }
                groups.append(group)
            }
        }
        if let gap {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: Array(repeating: 0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        high = groups[..<4].reduce(0) { $0 << 16 | UInt64($1) }
        low = groups[4...].reduce(0) { $0 << 16 | UInt64($1) }
    }

    /// The canonical text of RFC 5952.
    package var description: String {
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> UInt64(48 - $0 % 4 * 16)) }
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8 && groups[end] == 0 { end += 1 }
            if end - start > max(best.count, 1) { best = start..<end }
            start = max(end, start + 1)
        }
        let text = { (range: Range<Int>) in groups[range].map { String($0, radix: 16) }.joined(separator: ":") }
        return best.isEmpty ? text(0..<8) : text(0..<best.lowerBound) + "::" + text(best.upperBound..<8)
    }

    /// The sixteen octets, first first.
    package var bytes: [UInt8] {
        [high, low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64(56 - $0 * 8)) } }
    }

    /// The link-local address that a MAC gives (EUI-64).
    package static func linkLocal(_ mac: MACAddress) -> IPv6Address {
        let bits = mac.bits
        let low = (bits >> 24 ^ 0x02_0000) << 40 | 0xFF_FE00_0000 | bits & 0xFF_FFFF
        return IPv6Address(high: 0xFE80_0000_0000_0000, low: low)
    }

    package static func < (a: IPv6Address, b: IPv6Address) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

extension UInt8 {
    /// Whether it is a hex digit in ASCII.
    fileprivate var isHexDigit: Bool {
        (48...57).contains(self) || (97...102).contains(self) || (65...70).contains(self)
    }
}

/// An address of either version.
package enum IPAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
    case v4(IPv4Address)
    case v6(IPv6Address)

    /// Reads either. Nil for anything else.
    package init?(_ text: String) {
        if let four = IPv4Address(text) {
            self = .v4(four)
        } else if let six = IPv6Address(text) {
            self = .v6(six)
        } else {
            return nil
        }
    }

    package var description: String {
        switch self {
        case .v4(let address): address.description
        case .v6(let address): address.description
        }
    }
}

/// A MAC address in the low 48 bits.
package struct MACAddress: Hashable, Sendable, CustomStringConvertible {
    /// The bits, the first octet most significant.
    package var bits: UInt64

    /// An address from its bits.
    package init(bits: UInt64) { self.bits = bits & 0xFFFF_FFFF_FFFF }

    /// Reads `02:00:5e:10:00:01`, in either case. Nil for anything else.
    package init?(_ text: String) {
        let parts = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count == 6 else { return nil }
        var bits: UInt64 = 0
        for part in parts {
            guard part.count == 2 else { return nil }
            for digit in part {
                let value: UInt8
                switch digit {
                case 48...57: value = digit - 48
                case 97...102: value = digit - 87
                case 65...70: value = digit - 55
                case _: return nil
                }
                bits = bits << 4 | UInt64(value)
            }
        }
        self.bits = bits
    }

    /// Six octets in lower-case hex with colons.
    package var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }

    /// The six octets, first first.
    package var bytes: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: bits >> UInt64(40 - $0 * 8)) } }

    /// Whether it may be an interface's own: no multicast, not zero.
    package var isUnicast: Bool { bits != 0 && bits >> 40 & 1 == 0 }
}

/// A block of addresses as `ADDRESS/LENGTH`; the bits behind the length are 0.
package struct AddressBlock: Hashable, Sendable, CustomStringConvertible {
    /// The first address.
    package let address: IPAddress
    /// The prefix's length in bits.
    package let length: Int

    /// A block. Nil for a length that the version has not, or bits set behind it.
    package init?(_ address: IPAddress, length: Int) {
        switch address {
        case .v4(let four): guard (0...32).contains(length), four.bits & ~Self.mask4(length) == 0 else { return nil }
        case .v6(let six):
            let mask = Self.mask6(length)
            guard (0...128).contains(length), six.high & ~mask.high == 0, six.low & ~mask.low == 0 else { return nil }
        }
        self.address = address
        self.length = length
    }

    /// Reads `10.1.0.0/24`, `fd00::/64`, or an address alone as a block of one. Nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = IPAddress(String(parts[0])) else { return nil }
        let longest =
            switch address {
            case .v4: 32
            case .v6: 128
            }
        guard parts.count == 2 else {
            self.init(address, length: longest)
            return
        }
        guard let length = Int(parts[1]), String(length) == parts[1] else { return nil }
        self.init(address, length: length)
    }

    package var description: String { "\(address)/\(length)" }

    /// Whether an address is of the block.
    package func contains(_ other: IPAddress) -> Bool {
        switch (address, other) {
        case (.v4(let mine), .v4(let its)): return its.bits & Self.mask4(length) == mine.bits
        case (.v6(let mine), .v6(let its)):
            let mask = Self.mask6(length)
            return its.high & mask.high == mine.high && its.low & mask.low == mine.low
        case (.v4, .v6), (.v6, .v4): return false
        }
    }

    /// Whether two blocks share an address.
    package func overlaps(_ other: AddressBlock) -> Bool { contains(other.address) || other.contains(address) }

    private static func mask4(_ length: Int) -> UInt32 { length == 0 ? 0 : ~UInt32(0) << UInt32(32 - length) }
    private static func mask6(_ length: Int) -> (high: UInt64, low: UInt64) {
        let half = { (bits: Int) in bits <= 0 ? 0 : bits >= 64 ? ~UInt64(0) : ~UInt64(0) << UInt64(64 - bits) }
        return (half(length), half(length - 64))
    }
}

/// Values that are stored and printed as their text.
package protocol TextCoded: Codable, CustomStringConvertible {
    /// Reads what `description` wrote; nil for anything else.
    init?(_ text: String)
}

extension TextCoded {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = Self(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text) is no \(Self.self)")
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension IPv4Address: TextCoded {}
extension IPv6Address: TextCoded {}
extension IPAddress: TextCoded {}
extension MACAddress: TextCoded {}
extension AddressBlock: TextCoded {}
