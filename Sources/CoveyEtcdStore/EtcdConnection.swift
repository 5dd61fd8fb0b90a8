internal import CoveyModel
internal import CoveySystem
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import GRPCProtobuf
internal import NIOCore
internal import SwiftProtobuf
internal import Synchronization

/// What a connection is for: what may take long never stands before what must not.
enum EtcdLane: Int, CaseIterable, Sendable {
    /// Reads of keys and transactions.
    case calls
    /// Ranges, which may be large.
    case ranges
    /// Watches, which are never done.
    case watches
    /// Grants, keep-alives and revocations of leases.
    case leases
    /// Looks at the member itself.
    case looks
}

/// One connection to one member.
final class EtcdConnection: Sendable {
    typealias Transport = HTTP2ClientTransport.Posix

    /// The most that one message may have: a range's page, or a fragment of a watch.
    static let messageLimit = 128 << 20

    let endpoint: EtcdEndpoint
    private let client: GRPCClient<Transport>
    private let work: Task<Void, Never>
    private let ended: Mark

    /// A connection, which is made when it is needed first. Errors: ``ErrorCode/invalid`` for files of TLS that
    /// cannot be used.
    init(_ endpoint: EtcdEndpoint, _ credentials: EtcdCredentials?) throws {
        self.endpoint = endpoint
        let client = GRPCClient(transport: try EtcdTransport.make(endpoint, credentials))
        let ended = Mark()
        self.client = client
        self.ended = ended
        work = Task {
            // What keeps it from connecting is told by each call.
            do { try await client.runConnections() } catch {}
            ended.set()
        }
    }

    deinit { work.cancel() }

    /// Whether calls can be made; otherwise another one has to be made in its place.
    var isUsable: Bool { !ended.isSet }

    /// Ends it and all calls on it.
    func close() {
        client.beginGracefulShutdown()
        work.cancel()
    }

    /// The words for this member in errors.
    var place: String { "the etcd at \(endpoint)" }

    /// Sends one request and takes one response.
    ///
    /// - Parameter needsLeader: Whether a member without a leader is to refuse it.
    func call<Request, Response>(
        _ method: EtcdMethod<Request, Response>, _ request: Request, within limit: Duration, needsLeader: Bool = true
    ) async throws(EtcdFailure) -> Response {
        let sent = Mark()
        let client = client
        do {
            // gRPC's own deadline ends the call; ours is for a call that does not listen.
            return try await withDeadline(limit + .seconds(1), "the call \(method.descriptor.method)") {
                try await client.clientStreaming(
                    request: StreamingClientRequest(metadata: EtcdConnection.metadata(needsLeader)) { writer in
                        sent.set()
                        try await writer.write(request)
                    }, descriptor: method.descriptor, serializer: ProtobufSerializer<Request>(),
                    deserializer: ProtobufDeserializer<Response>(), options: EtcdConnection.options(limit)
                ) { try $0.message }
            }
        } catch { throw EtcdFailure(error, place: place, sent: sent.isSet) }
    }

    /// Sends one request and gives the responses of its stream to `body`, one after the other.
    func download<Request, Response>(
        _ method: EtcdMethod<Request, Response>, _ request: Request, within limit: Duration,
        _ body: @escaping @Sendable (Response) async throws -> Void
    ) async throws {
        do {
            try await client.serverStreaming(
                request: ClientRequest(message: request), descriptor: method.descriptor,
                serializer: ProtobufSerializer<Request>(), deserializer: ProtobufDeserializer<Response>(),
                options: EtcdConnection.options(limit)
            ) { for try await message in $0.messages { try await body(message) } }
        } catch let error as RPCError { throw EtcdFailure(error, place: place, sent: true) }
    }

    /// Opens a stream of watches, and gives its responses to `body`; it ends with `body`.
    func watch(
        _ requests: AsyncStream<Etcdserverpb_WatchRequest>,
        _ body:
            @escaping @Sendable (
                RPCAsyncSequence<Etcdserverpb_WatchResponse, any Error>
            ) async throws -> Void
    ) async throws(EtcdFailure) {
        do {
            try await client.bidirectionalStreaming(
                request: StreamingClientRequest(metadata: EtcdConnection.metadata(true)) { writer in
                    for await request in requests { try await writer.write(request) }
                }, descriptor: Etcdserverpb_Watch.Method.Watch.descriptor,
                serializer: ProtobufSerializer<Etcdserverpb_WatchRequest>(),
                deserializer: ProtobufDeserializer<Etcdserverpb_WatchResponse>(), options: EtcdConnection.options(nil)
            ) { try await body($0.messages) }
        } catch { throw EtcdFailure(error, place: place, sent: true) }
    }

    private static func metadata(_ needsLeader: Bool) -> GRPCCore.Metadata { needsLeader ? ["hasleader": "true"] : [:] }

    private static func options(_ limit: Duration?) -> CallOptions {
        var options = CallOptions.defaults
        options.timeout = limit
        options.waitForReady = false
        // Named for requests, it bounds what is received.
        options.maxRequestMessageBytes = messageLimit
        return options
    }

    /// Sees that connections can be made from what files hold. Errors: ``ErrorCode/invalid``.
    static func check(_ endpoint: EtcdEndpoint, _ credentials: EtcdCredentials) throws {
        _ = try EtcdTransport.make(endpoint, credentials)
    }
}

/// Something that has happened or not.
private final class Mark: Sendable {
    private let mark = Atomic(false)

    var isSet: Bool { mark.load(ordering: .acquiring) }

    func set() { mark.store(true, ordering: .releasing) }
}
