/// The one line that leads from a user's ssh configuration to ours. All other bytes stay as they are.
struct IncludeLine: Hashable, Sendable {
    /// The line, without its end.
    let text: String

    /// The line for a file. Source: ssh_config(5), Include.
    init(file: String) {
        let plain = !file.contains { " \t\"\\'#*?[]".contains($0) }
        let quoted = file.reduce(into: "") { out, character in
            if "\"\\*?[]".contains(character) { out.append("\\") }
            out.append(character)
        }
        text = plain ? "Include \(file)" : "Include \"\(quoted)\""
    }

    /// With the line at the top; nil where it counts for all hosts already.
    func added(to bytes: [UInt8]) -> [UInt8]? {
        for line in IncludeLine.lines(of: bytes) {
            let words = IncludeLine.trimmed(bytes[line])
            if words == Array(text.utf8)[...] { return nil }
            // Behind one of these it would count for some hosts alone.
            let keyword = words.prefix { $0 != 32 && $0 != 9 && $0 != 61 }.map { $0 | 0x20 }
            if keyword == Array("host".utf8) || keyword == Array("match".utf8) { break }
        }
        return Array("\(text)\n".utf8) + bytes
    }

    /// Without the line; nil where it is not there.
    func removed(from bytes: [UInt8]) -> [UInt8]? {
        let ours = IncludeLine.lines(of: bytes).filter { IncludeLine.trimmed(bytes[$0]) == Array(text.utf8)[...] }
        guard !ours.isEmpty else { return nil }
        var rest: [UInt8] = []
        var position = 0
        for line in ours {
            rest += bytes[position..<line.lowerBound]
            position = line.upperBound
        }
        return rest + bytes[position...]
    }

    /// Lines with their ends.
    private static func lines(of bytes: [UInt8]) -> [Range<Int>] {
        var lines: [Range<Int>] = []
        var start = 0
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: 10).map { $0 + 1 } ?? bytes.count
            lines.append(start..<end)
            start = end
        }
        return lines
    }

    private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var line = line.drop { $0 == 32 || $0 == 9 }
        while let last = line.last, [9, 10, 13, 32].contains(last) { line.removeLast() }
        return line
    }
}
