/// A size in bytes. Text is in powers of two: `512M`, `4G`.
package struct ByteCount: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number of bytes.
    package var bytes: Int64

    /// A size from a number of bytes.
    package init(_ bytes: Int64) { self.bytes = bytes }

    /// So many KiB.
    package static func kibibytes(_ count: Int64) -> ByteCount { ByteCount(count << 10) }
    /// So many MiB.
    package static func mebibytes(_ count: Int64) -> ByteCount { ByteCount(count << 20) }
    /// So many GiB.
    package static func gibibytes(_ count: Int64) -> ByteCount { ByteCount(count << 30) }

    /// Reads `1073741824`, `512M`, `4G`, `4GiB`, `4g`. Nil for anything else, negative or too large.
    package init?(_ text: String) {
        var digits = text.prefix { $0.isASCII && $0.isNumber }
        var unit = text.dropFirst(digits.count).uppercased()
        if unit.hasSuffix("IB") { unit = String(unit.dropLast(2)) } else if unit.hasSuffix("B") { unit.removeLast() }
        let shifts: [String: Int64] = ["": 0, "K": 10, "M": 20, "G": 30, "T": 40]
        digits = digits.drop { $0 == "0" }
        guard text.first?.isNumber == true, let shift = shifts[unit], let number = Int64("0" + digits) else {
            return nil
        }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        self.bytes = bytes
    }

    /// The shortest exact text: `512M`, `1536M`, `1000`.
    package var description: String {
        for (unit, shift) in [("T", 40), ("G", 30), ("M", 20), ("K", 10)]
        where bytes != 0 && bytes % (Int64(1) << Int64(shift)) == 0 {
            return "\(bytes >> Int64(shift))\(unit)"
        }
        return String(bytes)
    }

    /// A rounded text for people: `1.2 GiB`, `96 MiB`.
    package var rounded: String {
        var value = Double(bytes)
        var unit = "B"
        for next in ["KiB", "MiB", "GiB", "TiB"] where value >= 1024 {
            value /= 1024
            unit = next
        }
        if unit == "B" || value >= 10 { return "\(Int64(value.rounded())) \(unit)" }
        let tenths = Int64((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) \(unit)"
    }

    package static func < (left: ByteCount, right: ByteCount) -> Bool { left.bytes < right.bytes }
}

extension ByteCount: Codable {
    package init(from decoder: any Decoder) throws {
        bytes = try decoder.singleValueContainer().decode(Int64.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(bytes)
    }
}
