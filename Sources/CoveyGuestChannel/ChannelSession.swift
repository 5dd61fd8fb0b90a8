internal import CoveyGuestProtocol
internal import CoveyModel

/// A session over a machine's channel.
final class ChannelSession: GuestSession {
    let hello: GuestHello
    private let core: SessionCore

    init(core: SessionCore, hello: GuestHello) {
        self.core = core
        self.hello = hello
    }

    deinit { core.end(nil) }

    var events: AsyncStream<GuestEvent> { core.events.stream }

    func configure(_ configuration: GuestConfiguration) async throws -> GuestConfigured {
        let reply = try await core.perform(.configure(configuration))
        guard let configured = reply.configured else { throw core.breach("an answer without a result") }
        return configured
    }

    func start(_ request: GuestExecRequest) async throws { _ = try await core.perform(.start(request, attach: nil)) }

    func run(
        _ request: GuestExecRequest, acknowledgement: GuestAcknowledgement
    ) async throws -> any GuestExecStream {
        try await core.attach(request.id, from: [:], acknowledgement) { .start(request, attach: $0) }
    }

    func attach(
        _ id: String, from: [GuestOutput: UInt64], acknowledgement: GuestAcknowledgement
    ) async throws -> any GuestExecStream {
        try await core.attach(id, from: from, acknowledgement) { .attach(id: id, $0) }
    }

    func execs() async throws -> [GuestExecInfo] { try await core.perform(.execs).execs }

    func acknowledge(_ id: String) async throws { _ = try await core.perform(.acknowledge(id: id)) }

    func signal(_ id: String, _ number: Int32) async throws { _ = try await core.perform(.signal(id: id, number)) }

    func shutdown(_ how: GuestShutdown, grace: Duration) async throws {
        let milliseconds = UInt64(clamping: grace.wholeMilliseconds)
        _ = try await core.perform(.shutdown(how, graceMilliseconds: milliseconds))
    }

    func setClock(_ time: Timestamp) async throws { _ = try await core.perform(.setClock(time)) }

    func ping() async throws { _ = try await core.perform(.ping) }

    func setNetwork(_ network: GuestNetwork, hostname: String?) async throws {
        _ = try await core.perform(.setNetwork(network, hostname: hostname))
    }

    func listeningPorts() async throws -> [ListeningPort] { try await core.perform(.listeningPorts).ports }

    func usage() async throws -> GuestUsage {
        guard let usage = try await core.perform(.usage).usage else { throw core.breach("an answer without a result") }
        return usage
    }

    func stream(_ request: GuestStreamRequest) async throws -> any GuestExecStream {
        try await core.attach("stream", from: [:], .automatic, window: GuestStreamRequest.window) {
            .stream(request, attach: $0)
        }
    }

    func close() async { core.end(nil) }
}
