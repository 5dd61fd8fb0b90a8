/// What a server wants before it answers: `WWW-Authenticate`. Source: RFC 9110, 11.6.1.
struct Challenge: Hashable, Sendable {
    /// `basic`, `bearer`.
    var scheme: String
    /// The parameters, their names in lower case.
    var parameters: [String: String]

    /// Reads the challenges of a header; what cannot be read is left out.
    static func read(_ header: String) -> [Challenge] {
        guard header.utf8.count <= 8192 else { return [] }
        var found: [Challenge] = []
        var rest = Array(header.utf8)[...]
        func skip(_ bytes: [UInt8]) { rest = rest.drop { bytes.contains($0) } }
        func token() -> String {
            let part = rest.prefix { $0 > 32 && $0 < 127 && !Array("=,\"".utf8).contains($0) }
            rest = rest.dropFirst(part.count)
            return String(decoding: part, as: UTF8.self)
        }
        while !rest.isEmpty {
            skip([32, 9, 44])
            let word = token()
            guard !word.isEmpty else { break }
            skip([32, 9])
            guard rest.first == 61 else {
                found.append(Challenge(scheme: word.lowercased(), parameters: [:]))
                continue
            }
            rest = rest.dropFirst()
            skip([32, 9])
            let value: String
            if rest.first == 34 {
                guard let quoted = quoted(&rest) else { break }
                value = quoted
            } else {
                value = token()
            }
            guard !found.isEmpty else { break }
            found[found.count - 1].parameters[word.lowercased()] = value
        }
        return found
    }

    private static func quoted(_ rest: inout ArraySlice<UInt8>) -> String? {
        rest = rest.dropFirst()
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            if byte == 34 { return String(decoding: bytes, as: UTF8.self) }
            if byte == 92 {
                guard let escaped = rest.popFirst() else { return nil }
                bytes.append(escaped)
            } else {
                bytes.append(byte)
            }
        }
        return nil
    }
}
