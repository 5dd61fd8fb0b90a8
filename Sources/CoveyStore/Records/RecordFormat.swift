internal import CoveyModel
internal import FoundationEssentials

/// How records of one kind lie in the store: `{"v":1,"kind":"vm.spec","data":{…}}`, with sorted keys.
struct RecordFormat<Body: Codable & Sendable>: Sendable {
    private struct Header: Codable {
        var v: Int
        var kind: String
    }

    private struct Envelope: Codable {
        var v: Int
        var kind: String
        var data: Body
    }

    /// The kind that records name.
    let kind: String
    /// The version that this program writes, and the newest that it reads.
    let version = 1

    /// A format by its kind.
    init(_ kind: String) { self.kind = kind }

    /// The bytes of a new record.
    func encode(_ body: Body) throws -> [UInt8] {
        try RecordCoding.encode(Envelope(v: version, kind: kind, data: body))
    }

    /// The bytes of a changed record; fields of the stored one that this program does not know stay.
    func encode(_ body: Body, over stored: [UInt8]) throws -> [UInt8] {
        let new = try encode(body)
        let known = try encode(decode(stored))
        if known == stored { return new }
        let merged = try RecordCoding.decode(JSONValue.self, new).keepingUnknown(
            of: RecordCoding.decode(JSONValue.self, stored), known: RecordCoding.decode(JSONValue.self, known))
        return try RecordCoding.encode(merged)
    }

    /// Reads a record. Errors: ``ErrorCode/corrupt`` with the reason.
    func decode(_ bytes: [UInt8]) throws -> Body {
        do {
            let header = try RecordCoding.decode(Header.self, bytes)
            guard header.kind == kind else {
                throw CoveyError(.corrupt, "the record is a \(header.kind), not a \(kind)")
            }
            guard (1...version).contains(header.v) else {
                throw CoveyError(
                    .corrupt, "the record has version \(header.v), this program reads \(version)",
                    remedy: "use the program that wrote it, or a newer one")
            }
            return try RecordCoding.decode(Envelope.self, bytes).data
        } catch let error as DecodingError {
            throw CoveyError(
                .corrupt, "the record cannot be read: \(error.reason)",
                remedy: "it is left as it is, and so is what it speaks of; restore the store from a backup")
        }
    }
}

/// JSON as records have it.
enum RecordCoding {
    /// Bytes with sorted keys: the same value gives the same bytes.
    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }

    /// Reads bytes. Errors: `DecodingError`.
    static func decode<T: Decodable>(_ type: T.Type, _ bytes: [UInt8]) throws -> T {
        try JSONDecoder().decode(type, from: Data(bytes))
    }

    /// 64 bits of FNV-1a in hex: tells one request's content from another's; no protection against forgery.
    static func digest(_ parts: [[UInt8]]) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for part in parts {
            for byte in part + [0xFF] {
                hash ^= UInt64(byte)
                hash &*= 0x100_0000_01B3
            }
        }
        let text = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }
}

extension DecodingError {
    /// One line: what is wrong where.
    fileprivate var reason: String {
        func text(_ context: Context, _ last: (any CodingKey)? = nil) -> String {
            let path = (context.codingPath + (last.map { [$0] } ?? [])).map(\.stringValue).joined(separator: ".")
            return path.isEmpty ? context.debugDescription : "\(path): \(context.debugDescription)"
        }
        switch self {
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            return text(context)
        case .keyNotFound(let key, let context): return text(context, key)
        @unknown default: return String(describing: self)
        }
    }
}
