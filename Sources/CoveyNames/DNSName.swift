/// A domain name as it stands on the wire, without compression. Names that differ in the case of ASCII letters are equal.
///
/// Source: RFC 1035 3.1, RFC 4343.
package struct DNSName: Hashable, Sendable, CustomStringConvertible {
    /// The longest name on the wire, in bytes.
    package static let longest = 255

    /// Labels with their lengths before them, and the root's 0 at the end, in the case that they were given in.
    package let wire: [UInt8]
    /// The same in lower case. A length is below 64 and therefore no letter.
    package let folded: [UInt8]

    /// A name from its wire form, which has to be whole.
    init(checked wire: [UInt8]) {
        self.wire = wire
        folded = wire.contains { (65...90).contains($0) } ? wire.map(Self.fold) : wire
    }

    /// The root.
    package static let root = DNSName(checked: [0])

    /// Reads `a.b.c`, with or without a final dot; an empty text and `.` are the root. Nil for labels that are empty or
    /// longer than 63 bytes, and for more than 255 bytes together. Bytes are taken as they are: no escapes.
    package init?(_ text: some StringProtocol) {
        var wire: [UInt8] = []
        var rest = Substring(text)
        if rest.hasSuffix(".") { rest = rest.dropLast() }
        if !rest.isEmpty {
            for label in rest.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
                guard (1...63).contains(label.count) else { return nil }
                wire.append(UInt8(label.count))
                wire += label
            }
        }
        wire.append(0)
        guard wire.count <= Self.longest else { return nil }
        self.init(checked: wire)
    }

    /// A name of labels; nil as in ``init(_:)-(StringProtocol)``.
    init?(labels: [ArraySlice<UInt8>]) {
        var wire: [UInt8] = []
        for label in labels {
            guard (1...63).contains(label.count) else { return nil }
            wire.append(UInt8(label.count))
            wire += label
        }
        wire.append(0)
        guard wire.count <= Self.longest else { return nil }
        self.init(checked: wire)
    }

    /// The labels in lower case, the first one first.
    package var labels: [ArraySlice<UInt8>] {
        var labels: [ArraySlice<UInt8>] = []
        var place = 0
        while place < folded.count, folded[place] != 0 {
            let end = place + 1 + Int(folded[place])
            labels.append(folded[(place + 1)..<end])
            place = end
        }
        return labels
    }

    /// Whether this name is `parent` or below it.
    package func isWithin(_ parent: DNSName) -> Bool {
        let more = folded.count - parent.folded.count
        guard more >= 0 else { return false }
        // The tail has to begin with a label, not within one.
        var place = 0
        while place < more { place += 1 + Int(folded[place]) }
        return place == more && folded[more...].elementsEqual(parent.folded)
    }

    /// Lower case with dots between and none at the end; `.` is the root. Other bytes than letters, digits, `-` and `_` are
    /// written as `\DDD`.
    package var description: String {
        let labels = labels
        if labels.isEmpty { return "." }
        return labels.map { label in
            label.map { byte in
                switch byte {
                case 97...122, 48...57, 45, 95: String(UnicodeScalar(byte))
                case _: "\\" + String(String(1000 + Int(byte)).dropFirst())
                }
            }.joined()
        }.joined(separator: ".")
    }

    package static func == (a: DNSName, b: DNSName) -> Bool { a.folded == b.folded }

    package func hash(into hasher: inout Hasher) {
        folded.withUnsafeBytes { hasher.combine(bytes: $0) }
    }

    private static func fold(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte | 0x20 : byte }
}
