internal import CoveyModel

extension DNSMessage {
    /// The message's bytes, names compressed. One that takes more than `limit` bytes loses what is said beside, and then
    /// all records, and says that it is truncated.
    package func encoded(limit: Int = 65535) -> [UInt8] {
        let whole = bytes(answers, authorities, additionals, cut: isTruncated)
        if whole.count <= limit { return whole }
        if !additionals.isEmpty {
            let shorter = bytes(answers, authorities, [], cut: isTruncated)
            if shorter.count <= limit { return shorter }
        }
        return bytes([], [], [], cut: true)
    }

    private func bytes(
        _ answers: [DNSRecord], _ authorities: [DNSRecord], _ additionals: [DNSRecord], cut: Bool
    ) -> [UInt8] {
        var writer = DNSWriter()
        writer.put16(id)
        var flags = UInt16(opcode & 15) << 11 | code.rawValue & 15
        if isResponse { flags |= 0x8000 }
        if isAuthoritative { flags |= 0x0400 }
        if cut { flags |= 0x0200 }
        if recursionDesired { flags |= 0x0100 }
        if recursionAvailable { flags |= 0x0080 }
        if isAuthentic { flags |= 0x0020 }
        if checkingDisabled { flags |= 0x0010 }
        writer.put16(flags)
        for count in [questions.count, answers.count, authorities.count, additionals.count + (edns == nil ? 0 : 1)] {
            writer.put16(UInt16(clamping: count))
        }
        for question in questions {
            writer.put(question.name)
            writer.put16(question.type.rawValue)
            writer.put16(question.recordClass)
        }
        for section in [answers, authorities, additionals] {
            for record in section { writer.put(record) }
        }
        if let edns { writer.put(edns, code) }
        return writer.bytes
    }
}

private struct DNSWriter {
    private(set) var bytes: [UInt8] = []
    /// Where names and their ends stand, in lower case; only the first 16 KiB can be pointed to.
    private var places: [ArraySlice<UInt8>: Int] = [:]
    /// The first name, at 12, which most records have: it is compared before the table is asked.
    private var first: DNSName?
    private var knowsFirst = false

    init() { bytes.reserveCapacity(512) }

    mutating func put16(_ number: UInt16) {
        bytes.append(UInt8(number >> 8))
        bytes.append(UInt8(truncatingIfNeeded: number))
    }

    mutating func put32(_ number: UInt32) {
        put16(UInt16(number >> 16))
        put16(UInt16(truncatingIfNeeded: number))
    }

    mutating func put(_ name: DNSName) {
        guard let first else {
            self.first = name
            bytes += name.wire
            return
        }
        if name == first, name != .root { return put16(0xC00C) }
        if !knowsFirst {
            knowsFirst = true
            remember(first, at: 12)
        }
        var place = 0
        while name.folded[place] != 0 {
            if let known = places[name.folded[place...]] {
                bytes += name.wire[..<place]
                note(name, upTo: place, at: bytes.count - place)
                return put16(0xC000 | UInt16(known))
            }
            place += 1 + Int(name.folded[place])
        }
        remember(name, at: bytes.count)
        bytes += name.wire
    }

    private mutating func remember(_ name: DNSName, at start: Int) {
        note(name, upTo: name.folded.count - 1, at: start)
    }

    private mutating func note(_ name: DNSName, upTo end: Int, at start: Int) {
        var place = 0
        while place < end, start + place < 0x4000 {
            places[name.folded[place...]] = start + place
            place += 1 + Int(name.folded[place])
        }
    }

    mutating func put(_ record: DNSRecord) {
        put(record.name)
        put16(record.type.rawValue)
        put16(record.recordClass)
        put32(record.timeToLive)
        let length = bytes.count
        put16(0)
        switch record.content {
        case .address(.v4(let address)): put32(address.bits)
        case .address(.v6(let address)): bytes += address.bytes
        // A DNAME's target is never compressed: RFC 6672 2.5.
        case .name(let name): if record.type == .dname { bytes += name.wire } else { put(name) }
        case .authority(let authority):
            put(authority.server)
            put(authority.mailbox)
            for index in 0..<4 { put32(index < authority.times.count ? authority.times[index] : 0) }
            put32(authority.minimum)
        case .other(let data): bytes += data
        }
        let size = UInt16(clamping: bytes.count - length - 2)
        bytes[length] = UInt8(size >> 8)
        bytes[length + 1] = UInt8(truncatingIfNeeded: size)
    }

    mutating func put(_ edns: DNSExtension, _ code: DNSResponseCode) {
        bytes.append(0)
        put16(DNSType.opt.rawValue)
        put16(edns.payloadSize)
        put32(
            UInt32(code.rawValue >> 4) << 24 | UInt32(edns.version) << 16 | (edns.wantsSignatures ? 0x8000 : 0))
        guard let reason = edns.reason else { return put16(0) }
        put16(6)
        put16(15)
        put16(2)
        put16(reason)
    }
}
