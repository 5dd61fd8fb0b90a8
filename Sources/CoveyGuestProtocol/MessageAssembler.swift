/// Puts messages together that are longer than a frame.
package struct MessageAssembler {
    /// Bytes of the longest message.
    package static let longestMessage = 1 << 20

    private var part: [UInt8] = []

    /// An assembler without a part.
    package init() {}

    /// Takes a frame's payload; returns the message when it is whole. Errors: too long.
    package mutating func append(_ frame: Frame) throws(FrameFault) -> [UInt8]? {
        if part.isEmpty && frame.flags & Frame.moreFollows == 0 { return frame.payload }
        guard part.count + frame.payload.count <= MessageAssembler.longestMessage else {
            throw FrameFault("a message is longer than 1 MiB")
        }
        part += frame.payload
        guard frame.flags & Frame.moreFollows == 0 else { return nil }
        defer { part = [] }
        return part
    }

    /// A message as frames.
    package static func frames(session: UInt64, channel: UInt32, type: FrameType, _ message: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        var rest = message[...]
        repeat {
            let payload = rest.prefix(Frame.longestPayload)
            rest = rest.dropFirst(payload.count)
            let frame = Frame(
                session: session, channel: channel, type: type, flags: rest.isEmpty ? 0 : Frame.moreFollows,
                payload: Array(payload))
            out += frame.bytes
        } while !rest.isEmpty
        return out
    }
}
