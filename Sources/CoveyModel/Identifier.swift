/// The id of one kind of thing: a UUID of version 7 (RFC 9562), so that ids sort by the time they were made.
///
/// Names of host objects take the tail of an id: its head is the time, and collides.
package struct Identifier<Subject>: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The 128 bits, most significant first.
    package let high: UInt64
    /// The lower half.
    package let low: UInt64

    /// An id from its two halves, as stored.
    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A new id from a time and 74 random bits.
    package init(time: Timestamp, random: (UInt64, UInt64)) {
        high = UInt64(bitPattern: time.milliseconds) << 16 | 0x7000 | random.0 & 0x0FFF
        low = 0x8000_0000_0000_0000 | random.1 >> 2
    }

    /// Reads `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, in lower case. Nil for anything else.
    package init?(_ text: String) {
        // Bytes, not characters: every key and record holds ids, and characters ask Unicode's tables.
        var halves: (high: UInt64, low: UInt64) = (0, 0)
        var place = 0
        for byte in text.utf8 {
            switch (place, byte) {
            case (8, UInt8(ascii: "-")), (13, UInt8(ascii: "-")), (18, UInt8(ascii: "-")), (23, UInt8(ascii: "-")):
                break
            case (8, _), (13, _), (18, _), (23, _): return nil
            case (0..<36, _):
                guard let digit = UInt64(hexDigit: byte) else { return nil }
                if place < 18 { halves.high = halves.high << 4 | digit } else { halves.low = halves.low << 4 | digit }
            case _: return nil
            }
            place += 1
        }
        guard place == 36 else { return nil }
        self.init(high: halves.high, low: halves.low)
    }

    /// The canonical lower-case text.
    package var description: String {
        String(unsafeUninitializedCapacity: 36) { text in
            // 36 bytes, all of which are written.
            var place = 0
            for half in [high, low] {
                for shift in stride(from: 60, through: 0, by: -4) {
                    if place == 8 || place == 13 || place == 18 || place == 23 {
                        text[place] = UInt8(ascii: "-")
                        place += 1
                    }
                    let digit = UInt8(truncatingIfNeeded: half >> UInt64(shift)) & 15
                    text[place] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
                    place += 1
                }
            }
            return place
        }
    }

    /// The last `count` hex digits, for names of host objects.
    package func tail(_ count: Int) -> String { String(description.suffix(count)) }

    package static func < (left: Identifier, right: Identifier) -> Bool {
        (left.high, left.low) < (right.high, right.low)
    }
}

extension UInt64 {
    /// The value of a hex digit in lower case. Nil for anything else.
    fileprivate init?(hexDigit byte: UInt8) {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self.init(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self.init(byte - UInt8(ascii: "a") + 10)
        case _: return nil
        }
    }
}

extension Identifier: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = Identifier(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text) is no UUID")
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// Makes ids. Tests give their own.
package struct IdentifierSource: Sendable {
    private let time: @Sendable () -> Timestamp
    private let random: @Sendable () -> (UInt64, UInt64)

    /// A source from a clock and a source of random bits.
    package init(
        time: @escaping @Sendable () -> Timestamp,
        random: @escaping @Sendable () -> (UInt64, UInt64) = {
            (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max))
        }
    ) {
        self.time = time
        self.random = random
    }

    /// Random bits that are no id.
    package func randomBits() -> UInt64 { random().0 }

    /// A new id.
    package func next<Subject>(_ subject: Subject.Type = Subject.self) -> Identifier<Subject> {
        Identifier(time: time(), random: random())
    }
}

/// The id of a machine.
package typealias MachineID = Identifier<VirtualMachine>
/// The id of an image.
package typealias ImageID = Identifier<Image>
/// The id of a kernel.
package typealias KernelID = Identifier<Kernel>
/// The id of an operation.
package typealias OperationID = Identifier<Operation>
/// The id of a node.
package typealias NodeID = Identifier<Node>

/// Eight hex digits that a daemon root makes at its first start; they stand in the names of its host objects.
package struct InstanceID: Hashable, Codable, Sendable, CustomStringConvertible {
    /// The eight lower-case hex digits.
    package let description: String

    /// Reads eight lower-case hex digits. Nil for anything else.
    package init?(_ text: String) {
        guard text.count == 8, text.allSatisfy({ $0.isASCII && $0.isHexDigit && !$0.isUppercase }) else { return nil }
        description = text
    }

    /// An id from 32 random bits.
    package init(random: UInt32) {
        let text = String(random, radix: 16)
        description = String(repeating: "0", count: 8 - text.count) + text
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = InstanceID(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text) is no instance id")
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
