extension Duration {
    /// Reads `90s`, `10m`, `1h30m`, `250ms`, `7d`. Nil for anything else, negative or too large.
    package init?(text: String) {
        let units: [(String, Int64)] = [
            ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
        ]
        var rest = text[...]
        var total: Int64 = 0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(digits.count)
            let unit = String(rest.prefix { $0.isASCII && $0.isLetter })
            rest = rest.dropFirst(unit.count)
            guard let number = Int64(digits), let scale = units.first(where: { $0.0 == unit })?.1 else { return nil }
            let (part, partOverflow) = number.multipliedReportingOverflow(by: scale)
            let (sum, overflow) = total.addingReportingOverflow(part)
            guard !partOverflow && !overflow else { return nil }
            total = sum
        }
        self = .milliseconds(total)
    }

    /// Whole milliseconds, rounded down.
    package var wholeMilliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }

    /// Whole nanoseconds, rounded down.
    package var wholeNanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }

    /// The text that ``init(text:)`` reads: `1m30s`, `250ms`, `0s`.
    package var text: String {
        var left = wholeMilliseconds
        if left == 0 { return "0s" }
        var text = left < 0 ? "-" : ""
        left = abs(left)
        for (unit, scale) in [("d", Int64(86_400_000)), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if left >= scale { text += "\(left / scale)\(unit)" }
            left %= scale
        }
        return text
    }
}
