/// What a frame carries. Numbers are part of the protocol.
package enum FrameType: UInt16, Sendable, CaseIterable {
    // From the host.
    case open = 1
    case request = 2
    case input = 3
    case inputEnd = 4
    case outputCredit = 5
    case detach = 6
    // From the guest.
    case hello = 101
    case reply = 102
    case event = 103
    case output = 104
    case dropped = 105
    case inputCredit = 106
    case exit = 107
    case channelClosed = 108
    case sessionEnded = 109
}

/// One unit of the stream: a header of 32 bytes, little-endian, and at most 64 KiB of payload.
///
/// Header: magic (4), session (8), channel (4), type (2), flags (2), length (4), CRC-32C of the payload (4),
/// CRC-32C of the 28 bytes before (4). Channel 0 is for requests; each attached program has one of its own.
package struct Frame: Hashable, Sendable {
    /// Bytes of a header.
    package static let headerLength = 32
    /// Bytes of the longest payload.
    package static let longestPayload = 65536
    /// Bytes of input or of a stream's output that a frame carries: whole pages, with room for their offset.
    package static let largestPiece = 61440
    /// Set where the message goes on in the next frame of the channel.
    package static let moreFollows: UInt16 = 1
    static let magic: [UInt8] = [0xF5, 0x43, 0x56, 0x59]

    /// The session's random id.
    package var session: UInt64
    /// 0, or an attached program.
    package var channel: UInt32
    /// What it carries.
    package var type: FrameType
    /// ``moreFollows`` or 0.
    package var flags: UInt16
    /// What is carried.
    package var payload: [UInt8]

    /// Makes a frame.
    package init(session: UInt64, channel: UInt32, type: FrameType, flags: UInt16 = 0, payload: [UInt8]) {
        self.session = session
        self.channel = channel
        self.type = type
        self.flags = flags
        self.payload = payload
    }

    /// The frame's bytes.
    package var bytes: [UInt8] {
        precondition(payload.count <= Frame.longestPayload, "a frame holds at most 64 KiB")
        var out: [UInt8] = []
        out.reserveCapacity(Frame.headerLength + payload.count)
        out += Frame.magic
        out.append(littleEndian: session)
        out.append(littleEndian: channel)
        out.append(littleEndian: type.rawValue)
        out.append(littleEndian: flags)
        out.append(littleEndian: UInt32(payload.count))
        out.append(littleEndian: CRC32C.checksum(payload))
        out.append(littleEndian: CRC32C.checksum(out))
        out += payload
        return out
    }
}

extension Frame {
    /// A frame's bytes whose payload is `prefix` and what `fill` reads straight into its place: how many bytes, or none
    /// where that is not positive.
    static func filled(
        session: UInt64, channel: UInt32, type: FrameType, prefix: [UInt8], limit: Int,
        _ fill: (UnsafeMutableRawBufferPointer) -> Int
    ) -> (bytes: [UInt8], result: Int) {
        precondition(prefix.count + limit <= longestPayload, "a frame holds at most 64 KiB")
        var result = 0
        let start = headerLength + prefix.count
        let bytes = [UInt8](unsafeUninitializedCapacity: start + limit) { buffer, count in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            result = fill(UnsafeMutableRawBufferPointer(rebasing: raw[start..<(start + limit)]))
            guard result > 0 else { return }
            raw[headerLength..<start].copyBytes(from: prefix)
            let length = prefix.count + result
            raw[..<4].copyBytes(from: magic)
            raw.storeBytes(of: session.littleEndian, toByteOffset: 4, as: UInt64.self)
            raw.storeBytes(of: channel.littleEndian, toByteOffset: 12, as: UInt32.self)
            raw.storeBytes(of: type.rawValue.littleEndian, toByteOffset: 16, as: UInt16.self)
            raw.storeBytes(of: 0, toByteOffset: 18, as: UInt16.self)
            raw.storeBytes(of: UInt32(length).littleEndian, toByteOffset: 20, as: UInt32.self)
            let payload = UnsafeRawBufferPointer(rebasing: raw[headerLength..<(headerLength + length)])
            raw.storeBytes(of: CRC32C.checksum(payload).littleEndian, toByteOffset: 24, as: UInt32.self)
            let head = UnsafeRawBufferPointer(rebasing: raw[..<28])
            raw.storeBytes(of: CRC32C.checksum(head).littleEndian, toByteOffset: 28, as: UInt32.self)
            count = headerLength + length
        }
        return (bytes, result)
    }
}

/// What is wrong with bytes that came from the other side.
package struct FrameFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, for people.
    package let description: String
    /// Makes a fault.
    package init(_ description: String) { self.description = description }
}

/// A header that was read.
struct FrameHeader {
    var session: UInt64
    var channel: UInt32
    var type: UInt16
    var flags: UInt16
    var length: Int
    var checksum: UInt32

    /// Reads 32 bytes from a position. Errors: wrong magic, checksum or length.
    init(_ bytes: [UInt8], at start: Int) throws(FrameFault) {
        guard bytes[start..<(start + 4)].elementsEqual(Frame.magic) else { throw FrameFault("no frame begins here") }
        guard
            bytes.littleEndian(UInt32.self, at: start + 28)
                == CRC32C.checksum(bytes[start..<(start + 28)])
        else { throw FrameFault("a frame's header has a wrong checksum") }
        session = bytes.littleEndian(UInt64.self, at: start + 4)
        channel = bytes.littleEndian(UInt32.self, at: start + 12)
        type = bytes.littleEndian(UInt16.self, at: start + 16)
        flags = bytes.littleEndian(UInt16.self, at: start + 18)
        length = Int(bytes.littleEndian(UInt32.self, at: start + 20))
        checksum = bytes.littleEndian(UInt32.self, at: start + 24)
        guard length <= Frame.longestPayload else { throw FrameFault("a frame of \(length) bytes is too long") }
    }

    /// The frame with its payload. Errors: wrong checksum, unknown type or flags.
    func frame(_ payload: [UInt8]) throws(FrameFault) -> Frame {
        guard CRC32C.checksum(payload) == checksum else { throw FrameFault("a frame's payload has a wrong checksum") }
        guard let type = FrameType(rawValue: type) else { throw FrameFault("a frame has the unknown type \(type)") }
        guard flags & ~Frame.moreFollows == 0 else { throw FrameFault("a frame has the unknown flags \(flags)") }
        return Frame(session: session, channel: channel, type: type, flags: flags, payload: payload)
    }
}

extension [UInt8] {
    /// Appends an integer, lowest byte first.
    package mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { self += $0 }
    }

    /// Reads an integer, lowest byte first; the bytes must be there.
    package func littleEndian<T: FixedWidthInteger>(_ type: T.Type, at position: Int) -> T {
        precondition(position >= 0 && position + MemoryLayout<T>.size <= count, "read past the end")
        return withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: T.self)) }
    }
}
