import CoveyGuestChannel
import CoveyGuestProtocol
import CoveySystem

/// Opens a session over a stream of the test's own.
struct UnixGuestConnectorOpen {
    private let stream: ByteStream
    init(_ stream: ByteStream) { self.stream = stream }
    func open() async throws -> any GuestSession {
        try await UnixGuestConnector.open(stream, requestDeadline: .seconds(10))
    }
}

/// Connects to a socket that no agent serves.
struct UnixConnector {
    let reactor: Reactor
    func connect(to path: String, _ deadline: Duration) async throws -> any GuestSession {
        try await UnixGuestConnector(reactor: reactor).connect(to: path, deadline: deadline)
    }
}
