package import CoveyModel

/// The host's side of the protocol, without I/O: bytes in, what the guest says out; and the bytes of what the host
/// says. Everything the guest sends is checked against what it may send.
package struct HostSideSession {
    /// What the guest says.
    package enum Input: Hashable, Sendable {
        /// The session is open.
        case hello(GuestHello)
        /// The answer to a request.
        case reply(GuestReply)
        /// An event; never `ended`.
        case event(GuestEvent)
        /// Bytes of an output.
        case output(channel: UInt32, GuestOutput, offset: UInt64, [UInt8])
        /// So many bytes of an output were dropped.
        case dropped(channel: UInt32, GuestOutput, count: UInt64)
        /// Input may be sent up to this offset.
        case inputCredit(channel: UInt32, upTo: UInt64)
        /// The program has ended; the channel is closed.
        case exit(channel: UInt32, GuestExit)
        /// The channel is closed.
        case channelClosed(channel: UInt32, CoveyError)
        /// The guest ended the session.
        case ended(CoveyError)
    }

    private struct Channel {
        var next: [GuestOutput: UInt64]
        var credit: [GuestOutput: UInt64]
    }

    private let session: UInt64
    private var reader: HostFrameReader
    private var messages = MessageAssembler()
    private var helloSeen = false
    private var lastChannel: UInt32 = 0
    private var lastRequest: UInt64 = 0
    private var pending: [UInt64: GuestAttachment?] = [:]
    private var channels: [UInt32: Channel] = [:]

    /// A session under a random id.
    package init(session: UInt64) {
        self.session = session
        reader = HostFrameReader(session: session)
    }

    /// The bytes that open the session.
    package var opening: [UInt8] { SessionMarker.bytes + frame(0, .open, HostOpen().encoded) }

    /// Takes bytes from the guest.
    package mutating func receive(_ bytes: [UInt8]) { reader.append(bytes) }

    /// The next thing the guest says; nil where more bytes are needed. Errors: it broke the protocol.
    package mutating func next() throws(FrameFault) -> Input? {
        while let frame = try reader.next() {
            if let input = try decode(frame) { return input }
        }
        return nil
    }

    private mutating func decode(_ frame: Frame) throws(FrameFault) -> Input? {
        guard helloSeen || frame.type == .hello else { throw FrameFault("a session without a hello") }
        switch frame.type {
        case .hello:
            guard !helloSeen else { throw FrameFault("a second hello") }
            let hello = try GuestHello.decode(frame.payload)
            helloSeen = true
            return .hello(hello)
        case .reply:
            guard let message = try messages.append(frame) else { return nil }
            return .reply(try settle(try GuestReply.decode(message)))
        case .event: return try GuestEvent.decode(frame.payload).map(Input.event)
        case .sessionEnded: return .ended(try GuestErrorMessage.decode(frame.payload))
        case .output, .dropped, .inputCredit, .exit, .channelClosed: return try decodeOnChannel(frame)
        case .open, .request, .input, .inputEnd, .outputCredit, .detach:
            throw FrameFault("a guest does not send frames of type \(frame.type)")
        }
    }

    private mutating func settle(_ reply: GuestReply) throws(FrameFault) -> GuestReply {
        guard let attachment = pending.removeValue(forKey: reply.number) else {
            throw FrameFault("a reply to a request that was not made")
        }
        guard let attachment, reply.error == nil else { return reply }
        guard let attached = reply.attached else { throw FrameFault("an attachment without offsets") }
        var channel = Channel(next: [:], credit: [:])
        for output in GuestOutput.allCases {
            let from = attached.from[output] ?? 0
            let (credit, overflow) = from.addingReportingOverflow(UInt64(attachment.window))
            guard !overflow else { throw FrameFault("an offset is too large") }
            channel.next[output] = from
            channel.credit[output] = credit
        }
        channels[attachment.channel] = channel
        return reply
    }

    private mutating func decodeOnChannel(_ frame: Frame) throws(FrameFault) -> Input? {
        guard frame.channel > 0, frame.channel <= lastChannel else { throw FrameFault("a channel that was not opened") }
        guard var channel = channels[frame.channel] else { return nil }
        defer { if channels[frame.channel] != nil { channels[frame.channel] = channel } }
        switch frame.type {
        case .output:
            let (output, offset) = try frame.outputAndOffset()
            let count = UInt64(frame.payload.count - 9)
            guard count > 0, offset == channel.next[output] else { throw FrameFault("output with a gap") }
            guard offset + count <= channel.credit[output] ?? 0 else { throw FrameFault("more output than was asked") }
            channel.next[output] = offset + count
            return .output(channel: frame.channel, output, offset: offset, Array(frame.payload[9...]))
        case .dropped:
            let (output, offset) = try frame.outputAndOffset()
            let before = channel.next[output] ?? 0
            guard offset > before, offset < 1 << 62 else { throw FrameFault("output that goes back") }
            channel.next[output] = offset
            return .dropped(channel: frame.channel, output, count: offset - before)
        case .inputCredit:
            guard frame.payload.count == 8 else { throw FrameFault("a credit that says nothing") }
            return .inputCredit(channel: frame.channel, upTo: frame.payload.littleEndian(UInt64.self, at: 0))
        case .exit:
            let message = try GuestExitMessage.decode(frame.payload)
            for output in GuestOutput.allCases where message.written[output] ?? 0 > channel.next[output] ?? 0 {
                throw FrameFault("a program ended before its output")
            }
            channels[frame.channel] = nil
            return .exit(channel: frame.channel, message.exit)
        case .channelClosed:
            channels[frame.channel] = nil
            return .channelClosed(channel: frame.channel, try GuestErrorMessage.decode(frame.payload))
        case .open, .request, .input, .inputEnd, .outputCredit, .detach, .hello, .reply, .event, .sessionEnded:
            throw FrameFault("a guest does not send frames of type \(frame.type)")
        }
    }

    // What the host says.

    /// The next number of a channel.
    package mutating func newChannel() -> UInt32 {
        lastChannel += 1
        return lastChannel
    }

    /// A request with its number. Errors: longer than 1 MiB.
    package mutating func request(_ request: GuestRequest) throws(CoveyError) -> (number: UInt64, bytes: [UInt8]) {
        let number = lastRequest + 1
        let message = request.encoded(number: number)
        guard message.count <= MessageAssembler.longestMessage else {
            throw CoveyError(
                .invalid, "the program's arguments and environment are longer than 1 MiB",
                remedy: "pass large data through standard input")
        }
        lastRequest = number
        switch request {
        case .start(_, let attachment): pending[number] = .some(attachment)
        case .attach(_, let attachment), .stream(_, let attachment): pending[number] = .some(attachment)
        case .configure, .execs, .acknowledge, .signal, .resize, .shutdown, .setClock, .ping, .setNetwork,
            .listeningPorts, .usage:
            pending[number] = .some(nil)
        }
        return (number, MessageAssembler.frames(session: session, channel: 0, type: .request, message))
    }

    /// Bytes of standard input, split so that no frame is too long and the session marker stays unique.
    package func input(channel: UInt32, offset: UInt64, _ bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        var start = 0
        while start < bytes.count {
            var end = min(bytes.count, start + Frame.largestPiece)
            if let marker = SessionMarker.position(in: bytes, from: start), marker + 16 <= end { end = marker + 8 }
            var payload: [UInt8] = []
            payload.append(littleEndian: offset + UInt64(start))
            out += frame(channel, .input, payload + bytes[start..<end])
            start = end
        }
        return out
    }

    /// Standard input ends.
    package func inputEnd(channel: UInt32) -> [UInt8] { frame(channel, .inputEnd, []) }

    /// Output may be sent up to this offset.
    package mutating func outputCredit(channel: UInt32, _ output: GuestOutput, upTo offset: UInt64) -> [UInt8] {
        guard let known = channels[channel]?.credit[output] else { return [] }
        channels[channel]?.credit[output] = max(known, offset)
        return frame(channel, .outputCredit, Frame.payload(output, offset))
    }

    /// Lets go of a program; what the guest still sends of it is dropped.
    package mutating func detach(channel: UInt32) -> [UInt8] {
        guard channels.removeValue(forKey: channel) != nil else { return [] }
        return frame(channel, .detach, [])
    }

    private func frame(_ channel: UInt32, _ type: FrameType, _ payload: [UInt8]) -> [UInt8] {
        Frame(session: session, channel: channel, type: type, payload: payload).bytes
    }
}
