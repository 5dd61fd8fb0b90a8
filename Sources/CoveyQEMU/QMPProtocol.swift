internal import CoveyModel
internal import FoundationEssentials

/// Something that QEMU sent.
enum QMPMessage: Hashable, Sendable {
    /// The first line of a connection, with QEMU's version.
    case greeting(version: String)
    /// The result of a command.
    case result(id: Int64, JSONValue)
    /// The failure of a command: QEMU's class and text.
    case failure(id: Int64, kind: String, text: String)
    /// Something happened.
    case event(String, JSONValue)
    /// A line of no known kind; later versions may send such.
    case other
}

/// QMP as lines of JSON: takes bytes as they come and gives messages. Bounded, so that a VMM that was taken over
/// cannot fill our memory. Source: QEMU, docs/interop/qmp-spec.
struct QMPProtocol: Sendable {
    /// The longest line that is accepted, in bytes.
    static let longestLine = 1 << 20

    private var partial: [UInt8] = []

    /// The messages that these bytes complete. Errors: ``ErrorCode/corrupt`` for a line that is no JSON object or is
    /// too long; the connection is of no use then.
    mutating func receive(_ bytes: [UInt8]) throws(CoveyError) -> [QMPMessage] {
        var messages: [QMPMessage] = []
        var rest = bytes[...]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            partial += rest[..<end]
            rest = rest[(end + 1)...]
            try checkLength()
            if partial.last == UInt8(ascii: "\r") { partial.removeLast() }
            if !partial.isEmpty { messages.append(try Self.parse(partial)) }
            partial.removeAll(keepingCapacity: true)
        }
        partial += rest
        try checkLength()
        return messages
    }

    /// A command as a line.
    static func line(_ command: String, _ arguments: JSONValue?, id: Int64) throws -> [UInt8] {
        var members: [String: JSONValue] = ["execute": .string(command), "id": .integer(id)]
        members["arguments"] = arguments
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(JSONValue.object(members))) + [UInt8(ascii: "\n")]
    }

    private func checkLength() throws(CoveyError) {
        guard partial.count > Self.longestLine else { return }
        throw CoveyError(.corrupt, "QEMU sent a line of more than \(Self.longestLine) bytes")
    }

    private static func parse(_ line: [UInt8]) throws(CoveyError) -> QMPMessage {
        let value: JSONValue
        do {
            value = try JSONDecoder().decode(JSONValue.self, from: Data(line))
        } catch {
            throw CoveyError(.corrupt, "QEMU sent what is no JSON")
        }
        guard case .object(let members) = value else { throw CoveyError(.corrupt, "QEMU sent what is no JSON object") }
        if let greeting = members["QMP"] { return .greeting(version: version(greeting)) }
        if let event = members["event"]?.text { return .event(event, members["data"] ?? .null) }
        guard let id = members["id"]?.whole else { return .other }
        if let result = members["return"] { return .result(id: id, result) }
        guard let failure = members["error"] else { return .other }
        return .failure(id: id, kind: failure["class"]?.text ?? "", text: failure["desc"]?.text ?? "no reason given")
    }

    private static func version(_ greeting: JSONValue) -> String {
        guard let parts = greeting["version"]?["qemu"] else { return "unknown" }
        return ["major", "minor", "micro"].map { parts[$0]?.whole.map(String.init) ?? "?" }.joined(separator: ".")
    }
}
