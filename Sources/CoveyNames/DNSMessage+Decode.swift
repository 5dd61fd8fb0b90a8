internal import CoveyModel

/// Why bytes are no message.
package enum DNSDecodingError: Error, Hashable, Sendable {
    /// They end within something.
    case cut
    /// A name that is too long, points forward or through too many places, or has a label of an unknown kind.
    case badName
    /// A record whose length does not fit its type, or an extension where none may be.
    case badRecord
    /// Bytes behind the message.
    case trailing
}

extension DNSMessage {
    /// Reads a whole message. Whatever the bytes are, it takes time and memory in proportion to their number.
    package init(decoding bytes: [UInt8]) throws(DNSDecodingError) {
        var reader = DNSReader(bytes)
        self.init(id: try reader.number16())
        let flags = try reader.number16()
        isResponse = flags & 0x8000 != 0
        opcode = UInt8(flags >> 11 & 15)
        isAuthoritative = flags & 0x0400 != 0
        isTruncated = flags & 0x0200 != 0
        recursionDesired = flags & 0x0100 != 0
        recursionAvailable = flags & 0x0080 != 0
        isAuthentic = flags & 0x0020 != 0
        checkingDisabled = flags & 0x0010 != 0
        code = DNSResponseCode(rawValue: flags & 15)
        let questionCount = try reader.number16()
        let answerCount = try reader.number16()
        let authorityCount = try reader.number16()
        let additionalCount = try reader.number16()
        for _ in 0..<questionCount {
            let name = try reader.name()
            let type = DNSType(rawValue: try reader.number16())
            questions.append(DNSQuestion(name, type, recordClass: try reader.number16()))
        }
        for _ in 0..<answerCount { answers.append(try Self.record(&reader)) }
        for _ in 0..<authorityCount { authorities.append(try Self.record(&reader)) }
        for _ in 0..<additionalCount {
            let record = try Self.record(&reader)
            if record.type == .opt { try take(extension: record) } else { additionals.append(record) }
        }
        guard reader.isAtEnd else { throw .trailing }
        guard !(answers + authorities).contains(where: { $0.type == .opt }) else { throw .badRecord }
    }

    private mutating func take(extension record: DNSRecord) throws(DNSDecodingError) {
        guard edns == nil, record.name == .root, case .other(let data) = record.content else { throw .badRecord }
        var found = DNSExtension(
            payloadSize: record.recordClass, version: UInt8(record.timeToLive >> 16 & 255),
            wantsSignatures: record.timeToLive & 0x8000 != 0)
        code = DNSResponseCode(rawValue: UInt16(record.timeToLive >> 24) << 4 | code.rawValue)
        var options = DNSReader(data)
        while !options.isAtEnd {
            let option = try options.number16()
            let value = try options.bytes(Int(try options.number16()))
            if option == 15, value.count >= 2 { found.reason = UInt16(value[0]) << 8 | UInt16(value[1]) }
        }
        edns = found
    }

    private static func record(_ reader: inout DNSReader) throws(DNSDecodingError) -> DNSRecord {
        let name = try reader.name()
        let type = DNSType(rawValue: try reader.number16())
        let recordClass = try reader.number16()
        let timeToLive = try reader.number32()
        let length = Int(try reader.number16())
        let end = reader.place + length
        guard end <= reader.count else { throw .cut }
        let content = try content(type, recordClass, length, &reader)
        guard reader.place == end else { throw .badRecord }
        return DNSRecord(name, type, timeToLive: timeToLive, content, recordClass: recordClass)
    }

    private static func content(
        _ type: DNSType, _ recordClass: UInt16, _ length: Int, _ reader: inout DNSReader
    ) throws(DNSDecodingError) -> DNSRecord.Content {
        // Dynamic updates have records without data; types have their forms in the internet's class alone.
        guard recordClass == 1 else { return .other(try reader.bytes(length)) }
        switch type {
        case .a:
            guard length == 4 else { throw .badRecord }
            return .address(.v4(IPv4Address(bits: try reader.number32())))
        case .aaaa:
            guard length == 16 else { throw .badRecord }
            let high = try reader.number64()
            return .address(.v6(IPv6Address(high: high, low: try reader.number64())))
        case .cname, .ns, .ptr, .dname:
            return .name(try reader.name())
        case .soa:
            let server = try reader.name()
            let mailbox = try reader.name()
            var times: [UInt32] = []
            for _ in 0..<4 { times.append(try reader.number32()) }
            return .authority(
                DNSAuthority(server: server, mailbox: mailbox, times: times, minimum: try reader.number32()))
        case _:
            guard let form = forms[type.rawValue] else { return .other(try reader.bytes(length)) }
            var data = try reader.bytes(form.before)
            for _ in 0..<form.names { data += try reader.name().wire }
            return .other(data)
        }
    }

    /// Types whose data is some bytes and then names, which others may have compressed. Source: RFC 3597 4.
    private static let forms: [UInt16: (before: Int, names: Int)] = [
        3: (0, 1), 4: (0, 1), 7: (0, 1), 8: (0, 1), 9: (0, 1), 14: (0, 2), 15: (2, 1), 17: (0, 2), 18: (2, 1),
        21: (2, 1), 26: (2, 2), 33: (6, 1), 36: (2, 1),
    ]
}

/// Reads a message from its start; every step is checked against its end.
struct DNSReader {
    /// As many pointers as a name may go through.
    private static let mostPointers = 32

    private let data: [UInt8]
    private(set) var place = 0

    init(_ data: [UInt8]) { self.data = data }

    var count: Int { data.count }
    var isAtEnd: Bool { place == data.count }

    mutating func bytes(_ count: Int) throws(DNSDecodingError) -> [UInt8] {
        guard data.count - place >= count else { throw .cut }
        defer { place += count }
        return Array(data[place..<(place + count)])
    }

    mutating func number16() throws(DNSDecodingError) -> UInt16 {
        guard data.count - place >= 2 else { throw .cut }
        defer { place += 2 }
        return UInt16(data[place]) << 8 | UInt16(data[place + 1])
    }

    mutating func number32() throws(DNSDecodingError) -> UInt32 {
        let high = UInt32(try number16())
        return high << 16 | UInt32(try number16())
    }

    mutating func number64() throws(DNSDecodingError) -> UInt64 {
        let high = UInt64(try number32())
        return high << 32 | UInt64(try number32())
    }

    mutating func name() throws(DNSDecodingError) -> DNSName {
        var wire: [UInt8] = []
        wire.reserveCapacity(32)
        var at = place
        // Where the part that is being read began: a pointer has to lead before it, so that no name runs in a circle.
        var start = place
        var pointers = 0
        while true {
            guard at < data.count else { throw .cut }
            let length = Int(data[at])
            switch length {
            case 0:
                if pointers == 0 { place = at + 1 }
                wire.append(0)
                guard wire.count <= DNSName.longest else { throw .badName }
                return DNSName(checked: wire)
            case 1...63:
                guard at + 1 + length <= data.count else { throw .cut }
                wire += data[at...(at + length)]
                guard wire.count < DNSName.longest else { throw .badName }
                at += 1 + length
            case 0xC0...0xFF:
                guard at + 1 < data.count else { throw .cut }
                let target = (length & 0x3F) << 8 | Int(data[at + 1])
                if pointers == 0 { place = at + 2 }
                pointers += 1
                guard target < start, pointers <= Self.mostPointers else { throw .badName }
                at = target
                start = target
            case _: throw .badName
            }
        }
    }
}
