internal import NIOCore
internal import NIOHTTP2

/// Answers HTTP/2's pings before the protocol's handler sees them.
///
/// A member measures the line with a ping for each piece of data, hundreds a second. The handler takes more than 200
/// in 30 s for an attack, and closes the connection with all calls on it. Source: RFC 9113, sections 4.1 and 6.7.
final class PingAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let headerSize = 9
    private static let pingSize = 8

    /// The beginning of a frame that is not yet known.
    private var head = ByteBuffer()
    /// Bytes of the frame under way that are still to come.
    private var passing = 0

    /// Puts it before the handler of a connection. Errors: where the connection has none.
    static func add(to channel: any Channel) throws {
        let handler = try channel.pipeline.syncOperations.handler(type: NIOHTTP2Handler.self)
        try channel.pipeline.syncOperations.addHandler(PingAnswer(), position: .before(handler))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        var passed = context.channel.allocator.buffer(capacity: incoming.readableBytes + head.readableBytes)
        var answers = 0
        while incoming.readableBytes > 0 {
            if passing > 0 {
                guard var part = incoming.readSlice(length: min(passing, incoming.readableBytes)) else { break }
                passing -= part.readableBytes
                passed.writeBuffer(&part)
                continue
            }
            let wanted = isPing ? PingAnswer.headerSize + PingAnswer.pingSize : PingAnswer.headerSize
            let missing = min(wanted - head.readableBytes, incoming.readableBytes)
            guard var part = incoming.readSlice(length: missing) else { break }
            head.writeBuffer(&part)
            if isPing {
                guard head.readableBytes == PingAnswer.headerSize + PingAnswer.pingSize else { continue }
                // The same frame with the flag ACK.
                head.setInteger(UInt8(1), at: head.readerIndex + 4)
                context.write(wrapOutboundOut(head), promise: nil)
                answers += 1
                head = ByteBuffer()
            } else if head.readableBytes == PingAnswer.headerSize {
                passing = frameSize
                passed.writeBuffer(&head)
                head = ByteBuffer()
            }
        }
        if answers > 0 { context.flush() }
        if passed.readableBytes > 0 { context.fireChannelRead(NIOAny(passed)) }
    }

    /// The size that a whole frame header names.
    private var frameSize: Int {
        (0..<3).reduce(0) { $0 << 8 | Int(head.getInteger(at: head.readerIndex + $1, as: UInt8.self) ?? 0) }
    }

    /// Whether the frame whose header has come is a ping, and no answer to one.
    private var isPing: Bool {
        guard head.readableBytes >= PingAnswer.headerSize, frameSize == PingAnswer.pingSize else { return false }
        let type = head.getInteger(at: head.readerIndex + 3, as: UInt8.self)
        let flags = head.getInteger(at: head.readerIndex + 4, as: UInt8.self)
        return type == 6 && (flags ?? 0) & 1 == 0
    }
}
