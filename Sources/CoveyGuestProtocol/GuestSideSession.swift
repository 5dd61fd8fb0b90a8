package import CoveyModel

/// The guest's side of the protocol, without I/O: bytes in, what the host wants out; and the bytes of what the guest
/// says. A new session replaces the one before at any byte.
package struct GuestSideSession {
    /// What the host wants.
    package enum Input: Hashable, Sendable {
        /// A session begins; the one before is over. The guest answers with its hello.
        case opened(HostOpen)
        /// A request; nil for one that this program does not know.
        case request(number: UInt64, GuestRequest?)
        /// Bytes of standard input.
        case input(channel: UInt32, offset: UInt64, [UInt8])
        /// Standard input ends.
        case inputEnd(channel: UInt32)
        /// Output may be sent up to this offset.
        case outputCredit(channel: UInt32, GuestOutput, upTo: UInt64)
        /// The host lets go of a program.
        case detach(channel: UInt32)
        /// The session is over because the host broke the protocol; `farewell` is to be written.
        case broken(FrameFault, farewell: [UInt8])
    }

    private var reader = GuestFrameReader()
    private var requests = MessageAssembler()
    private var session: UInt64?

    /// A side that waits for a session.
    package init() {}

    /// Whether a session is open.
    package var isOpen: Bool { session != nil }

    /// The channel is gone: forgets the session and what is half read.
    package mutating func reset() { self = GuestSideSession() }

    /// Takes bytes from the host.
    package mutating func receive(_ bytes: [UInt8]) { reader.append(bytes) }

    /// The next thing the host wants; nil where more bytes are needed.
    package mutating func next() -> Input? {
        while let found = reader.next() {
            switch found {
            case .opened(let frame):
                requests = MessageAssembler()
                session = nil
                guard let open = try? HostOpen.decode(frame.payload) else {
                    reader.closeSession()
                    continue
                }
                session = frame.session
                return .opened(open)
            case .frame(let frame):
                do throws(FrameFault) {
                    if let input = try decode(frame) { return input }
                } catch {
                    reader.closeSession()
                    return broken(error)
                }
            case .broken(let fault): return broken(fault)
            }
        }
        return nil
    }

    private mutating func broken(_ fault: FrameFault) -> Input {
        let farewell = sessionEnded(CoveyError(.corrupt, "the host broke the protocol: \(fault)"))
        session = nil
        return .broken(fault, farewell: farewell)
    }

    private mutating func decode(_ frame: Frame) throws(FrameFault) -> Input? {
        switch frame.type {
        case .request:
            guard frame.channel == 0 else { throw FrameFault("a request on a channel") }
            guard let message = try requests.append(frame) else { return nil }
            let (number, request) = try GuestRequest.decode(message)
            return .request(number: number, request)
        case .input:
            guard frame.payload.count > 8 else { throw FrameFault("input without bytes") }
            let offset = frame.payload.littleEndian(UInt64.self, at: 0)
            return .input(channel: frame.channel, offset: offset, Array(frame.payload[8...]))
        case .inputEnd: return .inputEnd(channel: frame.channel)
        case .outputCredit:
            let (output, offset) = try frame.outputAndOffset()
            return .outputCredit(channel: frame.channel, output, upTo: offset)
        case .detach: return .detach(channel: frame.channel)
        case .open, .hello, .reply, .event, .output, .dropped, .inputCredit, .exit, .channelClosed, .sessionEnded:
            throw FrameFault("a host does not send frames of type \(frame.type)")
        }
    }

    // What the guest says: bytes to write, empty where no session is open.

    /// The answer to an opening.
    package func hello(_ hello: GuestHello) -> [UInt8] { message(.hello, hello.encoded) }

    /// The answer to a request.
    package func reply(_ reply: GuestReply) -> [UInt8] { message(.reply, reply.encoded) }

    /// What the guest tells by itself.
    package func event(_ event: GuestEvent) -> [UInt8] { message(.event, event.encoded) }

    /// Why the session is over.
    package func sessionEnded(_ error: CoveyError) -> [UInt8] {
        message(.sessionEnded, GuestErrorMessage.encode(error))
    }

    /// Bytes of an output, at most 32 KiB.
    package func output(
        channel: UInt32, _ output: GuestOutput, offset: UInt64, _ bytes: some Collection<UInt8>
    ) -> [UInt8] {
        frame(channel, .output, Frame.payload(output, offset) + bytes)
    }

    /// Bytes of a stream's output, which `fill` reads into the frame; its result, with no frame where that is not positive.
    /// Only while a session is open.
    package func output(
        channel: UInt32, _ output: GuestOutput, offset: UInt64, limit: Int,
        _ fill: (UnsafeMutableRawBufferPointer) -> Int
    ) -> (frame: [UInt8], result: Int) {
        guard let session else { return ([], 0) }
        let (bytes, result) = Frame.filled(
            session: session, channel: channel, type: .output, prefix: Frame.payload(output, offset), limit: limit,
            fill)
        return (bytes, result)
    }

    /// An output goes on at this offset, since the bytes before were dropped.
    package func dropped(channel: UInt32, _ output: GuestOutput, to offset: UInt64) -> [UInt8] {
        frame(channel, .dropped, Frame.payload(output, offset))
    }

    /// Input may be sent up to this offset.
    package func inputCredit(channel: UInt32, upTo offset: UInt64) -> [UInt8] {
        var payload: [UInt8] = []
        payload.append(littleEndian: offset)
        return frame(channel, .inputCredit, payload)
    }

    /// A program has ended and all its output was sent.
    package func exit(channel: UInt32, _ exit: GuestExitMessage) -> [UInt8] { frame(channel, .exit, exit.encoded) }

    /// A channel was taken over by another.
    package func channelClosed(channel: UInt32, _ error: CoveyError) -> [UInt8] {
        frame(channel, .channelClosed, GuestErrorMessage.encode(error))
    }

    private func message(_ type: FrameType, _ message: [UInt8]) -> [UInt8] {
        guard let session else { return [] }
        return MessageAssembler.frames(session: session, channel: 0, type: type, message)
    }

    private func frame(_ channel: UInt32, _ type: FrameType, _ payload: [UInt8]) -> [UInt8] {
        guard let session else { return [] }
        return Frame(session: session, channel: channel, type: type, payload: payload).bytes
    }
}

extension Frame {
    static func payload(_ output: GuestOutput, _ offset: UInt64) -> [UInt8] {
        var payload = [output.rawValue]
        payload.append(littleEndian: offset)
        return payload
    }

    /// The output and offset that a payload begins with.
    func outputAndOffset() throws(FrameFault) -> (GuestOutput, UInt64) {
        guard payload.count >= 9, let output = GuestOutput(rawValue: payload[0]) else {
            throw FrameFault("a frame of an unknown output")
        }
        return (output, payload.littleEndian(UInt64.self, at: 1))
    }
}
