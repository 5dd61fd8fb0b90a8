package import CoveyGuestProtocol
internal import CoveyModel
package import CoveySystem

/// Reaches guest agents through the Unix sockets of their machines' channels.
///
/// The process must ignore `SIGPIPE`.
package struct UnixGuestConnector: GuestConnector {
    private let reactor: Reactor
    private let requestDeadline: Duration

    /// Makes a connector. `requestDeadline` bounds each request of its sessions.
    package init(reactor: Reactor, requestDeadline: Duration = .seconds(10)) {
        self.reactor = reactor
        self.requestDeadline = requestDeadline
    }

    package func connect(to socket: String, deadline: Duration) async throws -> any GuestSession {
        let reactor = reactor
        let requestDeadline = requestDeadline
        return try await withDeadline(deadline, "the guest's hello on \(socket)") {
            let stream: ByteStream
            do {
                stream = try await ByteStream.connect(to: socket, reactor: reactor)
            } catch let error as SystemError {
                throw CoveyError(
                    .unavailable, "the guest's channel \(socket) cannot be reached", remedy: "is the machine running?",
                    cause: error)
            }
            return try await UnixGuestConnector.open(stream, requestDeadline: requestDeadline)
        }
    }

    /// Opens a session over a stream that is connected, and waits for the hello. Cancelling gives the stream up.
    package static func open(_ stream: ByteStream, requestDeadline: Duration) async throws -> any GuestSession {
        let core = SessionCore(stream: stream, requestDeadline: requestDeadline)
        core.start()
        do {
            let hello = try await core.hello()
            guard (1...guestProtocolVersion).contains(hello.protocolVersion) else {
                throw CoveyError(
                    .unsupported,
                    "the guest agent speaks protocol \(hello.protocolVersion), this program 1 to \(guestProtocolVersion)",
                    remedy: "restart the machine, so that it boots with this version's agent")
            }
            return ChannelSession(core: core, hello: hello)
        } catch {
            core.end(nil)
            throw error
        }
    }
}
