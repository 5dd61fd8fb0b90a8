/// A netlink message on its way to the kernel. Source: netlink(7), RFC 3549.
struct NetlinkMessage: Hashable, Sendable {
    /// `nlmsg_type`.
    var type: UInt16
    /// `nlmsg_flags`, without `NLM_F_REQUEST`, which every request has.
    var flags: NetlinkFlags
    /// The fixed header of the family and the attributes.
    var body: [UInt8]

    /// A message with the fixed header of its family.
    init(type: UInt16, flags: NetlinkFlags, header: [UInt8]) {
        self.type = type
        self.flags = flags
        body = header
    }

    /// Its bytes, with a number by which the answer is recognised.
    func encoded(sequence: UInt32) -> [UInt8] {
        let length = UInt32(16 + body.count)
        return length.native + type.native + (flags.rawValue | NetlinkFlags.request.rawValue).native
            + sequence.native + UInt32(0).native + body
    }

    /// Adds an attribute of bytes.
    mutating func add(_ type: UInt16, _ value: [UInt8]) { body += NetlinkAttribute.encoded(type, value) }

    /// Adds a text with its final zero.
    mutating func add(_ type: UInt16, text: String) { add(type, Array(text.utf8) + [0]) }

    /// Adds an integer.
    mutating func add(_ type: UInt16, _ value: some FixedWidthInteger) { add(type, value.native) }

    /// Adds attributes within an attribute.
    mutating func add(_ type: UInt16, nested: [(UInt16, [UInt8])]) {
        add(type | NetlinkAttribute.nestedFlag, nested.flatMap { NetlinkAttribute.encoded($0.0, $0.1) })
    }
}

/// `NLM_F_…`.
struct NetlinkFlags: OptionSet, Hashable, Sendable {
    let rawValue: UInt16
    static let request = NetlinkFlags(rawValue: 1)
    static let acknowledge = NetlinkFlags(rawValue: 4)
    static let dump = NetlinkFlags(rawValue: 0x300)
    static let replace = NetlinkFlags(rawValue: 0x100)
    static let exclusive = NetlinkFlags(rawValue: 0x200)
    static let create = NetlinkFlags(rawValue: 0x400)
}

/// One attribute of a message.
struct NetlinkAttribute: Hashable, Sendable {
    static let nestedFlag: UInt16 = 0x8000

    /// The type, without the flags.
    var type: UInt16
    /// The value.
    var value: ArraySlice<UInt8>

    /// An attribute's bytes, padded to four.
    static func encoded(_ type: UInt16, _ value: [UInt8]) -> [UInt8] {
        UInt16(4 + value.count).native + type.native + value
            + [UInt8](repeating: 0, count: (4 - value.count % 4) % 4)
    }

    /// The attributes in some bytes; what is cut off ends the list.
    static func list(_ bytes: ArraySlice<UInt8>) -> [NetlinkAttribute] {
        var rest = bytes
        var attributes: [NetlinkAttribute] = []
        while let length = rest.integer(at: 0, as: UInt16.self), let type = rest.integer(at: 2, as: UInt16.self),
            length >= 4, Int(length) <= rest.count
        {
            let value = rest[rest.startIndex + 4..<rest.startIndex + Int(length)]
            attributes.append(NetlinkAttribute(type: type & 0x3FFF, value: value))
            rest = rest.dropFirst((Int(length) + 3) & ~3)
        }
        return attributes
    }

    /// The attributes within it.
    var nested: [NetlinkAttribute] { NetlinkAttribute.list(value) }

    /// Its text without the final zero.
    var text: String { String(decoding: value.prefix { $0 != 0 }, as: UTF8.self) }

    /// Its integer; nil where it is shorter.
    func integer<T: FixedWidthInteger>(as type: T.Type) -> T? { value.integer(at: 0, as: type) }
}

/// A message of the kernel.
struct NetlinkAnswer: Hashable, Sendable {
    static let errorType: UInt16 = 2
    static let doneType: UInt16 = 3

    /// `nlmsg_type`.
    var type: UInt16
    /// Whether the dump was disturbed by a change and must be taken again (`NLM_F_DUMP_INTR`).
    var isInterrupted: Bool
    /// The number of the request that it answers.
    var sequence: UInt32
    /// What follows the header.
    var body: ArraySlice<UInt8>

    /// The messages of a datagram; what is cut off ends the list.
    static func list(_ bytes: [UInt8]) -> [NetlinkAnswer] {
        var rest = bytes[...]
        var answers: [NetlinkAnswer] = []
        while let length = rest.integer(at: 0, as: UInt32.self), let type = rest.integer(at: 4, as: UInt16.self),
            let flags = rest.integer(at: 6, as: UInt16.self), let sequence = rest.integer(at: 8, as: UInt32.self),
            length >= 16, Int(length) <= rest.count
        {
            let body = rest[rest.startIndex + 16..<rest.startIndex + Int(length)]
            answers.append(
                NetlinkAnswer(type: type, isInterrupted: flags & 0x10 != 0, sequence: sequence, body: body))
            rest = rest.dropFirst((Int(length) + 3) & ~3)
        }
        return answers
    }

    /// Of an error or an acknowledgement: the errno, 0 for none; of the end of a dump its errno. Nil for anything else.
    var errorNumber: Int32? {
        guard type == NetlinkAnswer.errorType || type == NetlinkAnswer.doneType else { return nil }
        return body.integer(at: 0, as: Int32.self).map { -$0 } ?? 0
    }

    /// The attributes behind a fixed header of the family.
    func attributes(after header: Int) -> [NetlinkAttribute] { NetlinkAttribute.list(body.dropFirst(header)) }
}

extension FixedWidthInteger {
    /// The bytes as the machine has them.
    var native: [UInt8] { withUnsafeBytes(of: self) { Array($0) } }
}

extension ArraySlice<UInt8> {
    /// An integer as the machine has it, at an offset from the start. Nil where the bytes end before.
    func integer<T: FixedWidthInteger>(at offset: Int, as type: T.Type) -> T? {
        let size = T.bitWidth / 8
        guard offset >= 0, count >= offset + size else { return nil }
        var value: T = 0
        Swift.withUnsafeMutableBytes(of: &value) { target in
            for place in 0..<size { target[place] = self[startIndex + offset + place] }
        }
        return value
    }
}
