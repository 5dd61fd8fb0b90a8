/// Writes a message: fields of a tag (one byte, not 0), a length (LEB128) and that many bytes.
///
/// A field that is not known is skipped by its reader, one that is missing has its default: messages grow without a
/// new version. A tag that comes several times is a list.
package struct FieldWriter {
    /// What was written.
    package private(set) var bytes: [UInt8] = []

    /// An empty message.
    package init() {}

    /// Writes bytes.
    package mutating func put(_ tag: UInt8, _ value: [UInt8]) {
        bytes.append(tag)
        var length = UInt64(value.count)
        repeat {
            let low = UInt8(length & 0x7F)
            length >>= 7
            bytes.append(length == 0 ? low : low | 0x80)
        } while length > 0
        bytes += value
    }

    /// Writes text; nil writes nothing.
    package mutating func put(_ tag: UInt8, _ value: String?) {
        if let value { put(tag, Array(value.utf8)) }
    }

    /// Writes a number in as few bytes as it needs, lowest first; nil writes nothing.
    package mutating func put(_ tag: UInt8, _ value: UInt64?) {
        guard var value else { return }
        var out: [UInt8] = []
        while value > 0 {
            out.append(UInt8(value & 0xFF))
            value >>= 8
        }
        put(tag, out)
    }

    /// Writes a signed number; nil writes nothing.
    package mutating func put(_ tag: UInt8, signed value: Int64?) {
        if let value { put(tag, UInt64(bitPattern: value << 1 ^ value >> 63)) }
    }

    /// Writes a flag, where it is set.
    package mutating func put(_ tag: UInt8, flag: Bool) {
        if flag { put(tag, UInt64(1)) }
    }

    /// Writes a message within the message.
    package mutating func put(_ tag: UInt8, _ body: (inout FieldWriter) -> Void) {
        var inner = FieldWriter()
        body(&inner)
        put(tag, inner.bytes)
    }

    /// Writes names and values, sorted by name.
    package mutating func put(_ tag: UInt8, _ values: [String: String]) {
        for (name, value) in values.sorted(by: { $0.key < $1.key }) {
            put(tag) {
                $0.put(1, name)
                $0.put(2, value)
            }
        }
    }
}

/// Reads a message that ``FieldWriter`` wrote, or that somebody hostile did.
package struct FieldReader {
    private let bytes: ArraySlice<UInt8>
    private let fields: [(tag: UInt8, value: Range<Int>)]

    /// Finds the fields. Errors: a length past the end, tag 0, more than 16,384 fields.
    package init(_ bytes: ArraySlice<UInt8>) throws(FrameFault) {
        var fields: [(tag: UInt8, value: Range<Int>)] = []
        var position = bytes.startIndex
        while position < bytes.endIndex {
            let tag = bytes[position]
            position += 1
            guard tag != 0 else { throw FrameFault("a message has a field without a tag") }
            var length = 0
            var shift = 0
            while true {
                guard position < bytes.endIndex, shift <= 21 else { throw FrameFault("a message is cut off") }
                let byte = bytes[position]
                position += 1
                length |= Int(byte & 0x7F) << shift
                shift += 7
                if byte & 0x80 == 0 { break }
            }
            guard length <= bytes.endIndex - position else { throw FrameFault("a message is cut off") }
            guard fields.count < 16384 else { throw FrameFault("a message has too many fields") }
            fields.append((tag, position..<(position + length)))
            position += length
        }
        self.bytes = bytes
        self.fields = fields
    }

    /// Finds the fields of a whole message.
    package init(_ bytes: [UInt8]) throws(FrameFault) { try self.init(bytes[...]) }

    /// The bytes of a field; nil where it is missing.
    package func bytes(_ tag: UInt8) -> ArraySlice<UInt8>? {
        fields.first { $0.tag == tag }.map { bytes[$0.value] }
    }

    /// The bytes of every field with this tag.
    package func list(_ tag: UInt8) -> [ArraySlice<UInt8>] {
        fields.filter { $0.tag == tag }.map { bytes[$0.value] }
    }

    /// The text of a field; bytes that are no UTF-8 are replaced.
    package func text(_ tag: UInt8) -> String? { bytes(tag).map { String(decoding: $0, as: UTF8.self) } }

    /// The text of a field for people to read on a terminal: what a guest says may hold control sequences, which are
    /// replaced, and is cut after 1,024 characters.
    package func plainText(_ tag: UInt8) -> String? { bytes(tag).map(FieldReader.plain) }

    static func plain(_ bytes: ArraySlice<UInt8>) -> String {
        let scalars = String(decoding: bytes.prefix(4096), as: UTF8.self).unicodeScalars.prefix(1024)
        return String(
            scalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : Character($0) })
    }

    /// The texts of every field with this tag.
    package func texts(_ tag: UInt8) -> [String] { list(tag).map { String(decoding: $0, as: UTF8.self) } }

    /// The number of a field; nil where it is missing. Errors: more than eight bytes.
    package func number(_ tag: UInt8) throws(FrameFault) -> UInt64? {
        guard let bytes = bytes(tag) else { return nil }
        guard bytes.count <= 8 else { throw FrameFault("a number is too long") }
        return bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The number of a field in a smaller type. Errors: it does not fit.
    package func number<T: FixedWidthInteger>(_ tag: UInt8, as type: T.Type) throws(FrameFault) -> T? {
        guard let wide = try number(tag) else { return nil }
        guard let value = T(exactly: wide) else { throw FrameFault("a number is too large") }
        return value
    }

    /// The signed number of a field; nil where it is missing.
    package func signed(_ tag: UInt8) throws(FrameFault) -> Int64? {
        guard let value = try number(tag) else { return nil }
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    /// The signed number of a field in 32 bits.
    package func signed32(_ tag: UInt8) throws(FrameFault) -> Int32? {
        guard let wide = try signed(tag) else { return nil }
        guard let value = Int32(exactly: wide) else { throw FrameFault("a number is too large") }
        return value
    }

    /// Whether a flag is set.
    package func flag(_ tag: UInt8) throws(FrameFault) -> Bool { try number(tag) ?? 0 != 0 }

    /// The message within a field; nil where it is missing.
    package func message(_ tag: UInt8) throws(FrameFault) -> FieldReader? {
        guard let bytes = bytes(tag) else { return nil }
        return try FieldReader(bytes)
    }

    /// The messages of every field with this tag.
    package func messages(_ tag: UInt8) throws(FrameFault) -> [FieldReader] {
        var messages: [FieldReader] = []
        for bytes in list(tag) { messages.append(try FieldReader(bytes)) }
        return messages
    }

    /// Names and values.
    package func pairs(_ tag: UInt8) throws(FrameFault) -> [String: String] {
        var pairs: [String: String] = [:]
        for pair in try messages(tag) { pairs[pair.text(1) ?? ""] = pair.text(2) ?? "" }
        return pairs
    }
}
