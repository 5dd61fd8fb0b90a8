package import CoveyModel

/// Writes numbered fields: number (2 bytes), length (4 bytes), value; all integers little-endian.
///
/// Packets and stored state are made of them, so that a reader skips what it does not know.
package struct FieldWriter: Sendable {
    /// What was written.
    package private(set) var bytes: [UInt8]

    /// Starts after a head.
    package init(head: [UInt8] = []) { bytes = head }

    /// Writes bytes.
    package mutating func put(_ field: UInt16, _ value: some Collection<UInt8>) {
        append(field)
        append(UInt32(clamping: value.count))
        bytes += value
    }

    /// Writes a text.
    package mutating func put(_ field: UInt16, _ value: String) { put(field, value.utf8) }

    /// Writes an integer in its full width.
    package mutating func put(_ field: UInt16, _ value: some FixedWidthInteger & Sendable) {
        append(field)
        append(UInt32(value.bitWidth / 8))
        append(value)
    }

    /// Writes a value made of fields.
    package mutating func put(_ field: UInt16, fields build: (inout FieldWriter) -> Void) {
        var inner = FieldWriter()
        build(&inner)
        put(field, inner.bytes)
    }

    /// Writes an integer without field number.
    package mutating func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
}

/// Reads numbered fields; those that nobody asks for are skipped.
package struct FieldReader: Sendable {
    private var values: [UInt16: [ArraySlice<UInt8>]] = [:]

    /// Splits bytes into fields. Errors: ``ErrorCode/corrupt`` where a field is cut off.
    package init(_ bytes: ArraySlice<UInt8>) throws(CoveyError) {
        var rest = bytes
        while !rest.isEmpty {
            guard let field = rest.takeInteger(UInt16.self), let length = rest.takeInteger(UInt32.self),
                length <= rest.count
            else { throw corrupt("a field is cut off") }
            values[field, default: []].append(rest.prefix(Int(length)))
            rest = rest.dropFirst(Int(length))
        }
    }

    /// All values of a field, in order.
    package func all(_ field: UInt16) -> [ArraySlice<UInt8>] { values[field] ?? [] }

    /// A text; nil where the field is missing. Errors: ``ErrorCode/corrupt`` where it is no UTF-8.
    package func text(_ field: UInt16) throws(CoveyError) -> String? {
        guard let value = values[field]?.last else { return nil }
        return try Self.text(value)
    }

    /// All texts of a field, in order.
    package func texts(_ field: UInt16) throws(CoveyError) -> [String] {
        var texts: [String] = []
        for value in all(field) { texts.append(try Self.text(value)) }
        return texts
    }

    /// An integer; nil where the field is missing. Errors: ``ErrorCode/corrupt`` where its width is another.
    package func integer<I: FixedWidthInteger>(_ field: UInt16, _ type: I.Type = I.self) throws(CoveyError) -> I? {
        guard let value = values[field]?.last else { return nil }
        return try Self.integer(value)
    }

    /// All integers of a field, in order.
    package func integers<I: FixedWidthInteger>(_ field: UInt16) throws(CoveyError) -> [I] {
        var integers: [I] = []
        for value in all(field) { integers.append(try Self.integer(value)) }
        return integers
    }

    /// A value made of fields; nil where the field is missing.
    package func fields(_ field: UInt16) throws(CoveyError) -> FieldReader? {
        guard let value = values[field]?.last else { return nil }
        return try FieldReader(value)
    }

    /// A value that has to be there. Errors: ``ErrorCode/corrupt`` where it is not.
    package func required<T>(_ value: T?, _ what: String) throws(CoveyError) -> T {
        guard let value else { throw corrupt("\(what) is missing") }
        return value
    }

    private static func text(_ value: ArraySlice<UInt8>) throws(CoveyError) -> String {
        guard let text = String(validating: value, as: UTF8.self) else { throw corrupt("a text is no UTF-8") }
        return text
    }

    private static func integer<I: FixedWidthInteger>(_ value: ArraySlice<UInt8>) throws(CoveyError) -> I {
        var rest = value
        guard let integer = rest.takeInteger(I.self), rest.isEmpty else {
            throw corrupt("an integer has another width")
        }
        return integer
    }
}

extension ArraySlice<UInt8> {
    /// Takes a little-endian integer off the front. Nil where too few bytes are left.
    package mutating func takeInteger<I: FixedWidthInteger>(_ type: I.Type) -> I? {
        let width = I.bitWidth / 8
        guard count >= width else { return nil }
        let value = prefix(width).reversed().reduce(I.zero) { $0 << 8 | I(truncatingIfNeeded: $1) }
        self = dropFirst(width)
        return value
    }
}

func corrupt(_ message: String) -> CoveyError { CoveyError(.corrupt, "malformed guard packet: \(message)") }
