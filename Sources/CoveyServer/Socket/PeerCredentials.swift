internal import Glibc
internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2

/// Finds out who is at the other end of a Unix socket, and says so in the metadata of each of its calls.
enum PeerCredentials {
    /// What `SO_PEERCRED` answers (unix(7)); Glibc's module lacks it.
    private struct Credentials {
        var pid: Int32 = 0
        var uid: UInt32 = .max
        var gid: UInt32 = .max
    }

    /// Keeps a connection's peer.
    private final class Peer: ChannelInboundHandler, Sendable {
        typealias InboundIn = Any
        let uid: UInt32
        init(uid: UInt32) { self.uid = uid }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.fireChannelRead(data) }
    }

    /// Replaces our metadata key in the headers of a call.
    private final class Stamp: ChannelInboundHandler {
        typealias InboundIn = HTTP2Frame.FramePayload
        typealias InboundOut = HTTP2Frame.FramePayload
        private let uid: UInt32?
        init(uid: UInt32?) { self.uid = uid }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .headers(var headers):
                headers.headers.remove(name: CallChain.peerKey)
                if let uid { headers.headers.add(name: CallChain.peerKey, value: String(uid)) }
                context.fireChannelRead(wrapInboundOut(.headers(headers)))
            case let other: context.fireChannelRead(wrapInboundOut(other))
            }
        }
    }

    /// Asks the kernel who connected. A connection whose peer cannot be known is served as nobody's, and refused
    /// call by call.
    @Sendable static func accepted(_ connection: any Channel) -> EventLoopFuture<Void> {
        guard let options = connection as? any SocketOptionProvider else {
            return connection.eventLoop.makeSucceededVoidFuture()
        }
        let asked: EventLoopFuture<Credentials> = options.unsafeGetSocketOption(
            level: NIOBSDSocket.OptionLevel(rawValue: SOL_SOCKET), name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
        return asked.flatMap { credentials in
            connection.pipeline.addHandler(Peer(uid: credentials.uid))
        }
    }

    /// Puts the stamp before everything else in a call's pipeline.
    @Sendable static func opened(_ stream: any Channel) -> EventLoopFuture<Void> {
        stream.eventLoop.makeCompletedFuture {
            let peer: Peer?
            do {
                peer = try stream.parent?.pipeline.syncOperations.handler(type: Peer.self)
            } catch { peer = nil }
            try stream.pipeline.syncOperations.addHandler(Stamp(uid: peer?.uid), position: .first)
        }
    }
}
