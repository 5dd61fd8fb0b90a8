internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2

/// Sends the request of a call that has one, and the end of what we say, in one frame.
///
/// gRPC writes them one after the other. A server that answers in between resets the stream, since it wants no more,
/// and HTTP/2 here takes many resets for an attack and closes the connection with all calls on it.
final class WholeRequest: ChannelOutboundHandler {
    typealias OutboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let streams: Set<String>
    private var isStream = false
    private var held: (data: HTTP2Frame.FramePayload.Data, promise: EventLoopPromise<Void>?)?

    /// A handler of one call.
    ///
    /// - Parameter streams: The paths of methods whose requests go on: they are sent as they come.
    init(streams: Set<String>) { self.streams = streams }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .headers(let headers):
            isStream = headers.headers.first(name: ":path").map { streams.contains($0) } ?? false
            context.write(data, promise: promise)
        case .data(let part) where !isStream:
            guard let first = held else {
                if part.endStream { return context.write(data, promise: promise) }
                held = (part, promise)
                return
            }
            held = nil
            var whole = first.data
            if part.endStream && part.data.readableBytes == 0 {
                whole.endStream = true
                context.write(wrapOutboundOut(.data(whole)), promise: first.promise)
                promise?.succeed()
            } else {
                context.write(wrapOutboundOut(.data(whole)), promise: first.promise)
                held = part.endStream ? nil : (part, promise)
                if part.endStream { context.write(data, promise: promise) }
            }
        case _: context.write(data, promise: promise)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        held?.promise?.fail(ChannelError.eof)
        held = nil
    }
}
