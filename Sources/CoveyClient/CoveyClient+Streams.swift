internal import CoveyAPI
package import CoveyModel
internal import CoveySystem
internal import GRPCCore
internal import Synchronization

extension CoveyClient {
    /// A file or folder of a machine as a tar archive, piece by piece. `output` is awaited.
    package func pack(
        _ name: String, _ wish: PackWish, output: @escaping @Sendable (MachineStreamOutput) async throws -> Void
    ) async throws {
        var message = Covey_V1_PackRequest()
        message.tenant = tenant
        message.name = name
        message.path = wish.path
        message.user = wish.user ?? ""
        message.followLink = wish.followsLink
        message.exact = wish.isExact
        let request = message
        try await once {
            try await streams.pack(request, options: streamOptions) { response in
                for try await piece in response.messages {
                    switch piece.response {
                    case .data(let data): try await output(.bytes([UInt8](data)))
                    case .note(let note): try await output(.note(note))
                    case nil: continue
                    }
                }
            }
        }
    }

    /// Writes a tar archive into a machine. `input` waits for its next bytes; nil is its end. `note` hears what was left
    /// out.
    package func unpack(
        _ name: String, _ wish: UnpackWish, input: @escaping @Sendable () async throws -> [UInt8]?,
        note: @escaping @Sendable (String) async throws -> Void
    ) async throws {
        var message = Covey_V1_UnpackRequest()
        message.start.tenant = tenant
        message.start.name = name
        message.start.path = wish.path
        message.start.user = wish.user ?? ""
        message.start.exact = wish.isExact
        message.start.plainArchive = wish.isPlainArchive
        let first = message
        let feed = Feed()
        try await feed.telling {
            try await once {
                try await streams.unpack(options: streamOptions) { writer in
                    try await feed.run {
                        try await writer.write(first)
                        while let bytes = try await input() {
                            var message = Covey_V1_UnpackRequest()
                            message.data = .init(bytes)
                            try await writer.write(message)
                        }
                    }
                } onResponse: { response in
                    defer { feed.end() }
                    for try await piece in response.messages { try await note(piece.note) }
                }
            }
        }
    }

    /// Connects to what listens in a machine, and returns when both directions have ended. `input` waits for bytes to
    /// send; nil ends that direction. Errors: ``ErrorCode/unavailable`` where nobody listens.
    package func dial(
        _ name: String, _ endpoint: GuestEndpoint, input: @escaping @Sendable () async throws -> [UInt8]?,
        output: @escaping @Sendable (MachineStreamOutput) async throws -> Void
    ) async throws {
        var message = Covey_V1_DialRequest()
        message.start.tenant = tenant
        message.start.name = name
        switch endpoint {
        case .port(let port): message.start.port = UInt32(port)
        case .socket(let path): message.start.socket = path
        }
        let first = message
        let feed = Feed()
        try await feed.telling {
            try await once {
                try await streams.dial(options: streamOptions) { writer in
                    try await feed.run {
                        try await writer.write(first)
                        while let bytes = try await input() {
                            var message = Covey_V1_DialRequest()
                            message.data = .init(bytes)
                            try await writer.write(message)
                        }
                    }
                } onResponse: { response in
                    defer { feed.end() }
                    for try await piece in response.messages {
                        switch piece.response {
                        case .data(let data): try await output(.bytes([UInt8](data)))
                        case .end: try await output(.end)
                        case nil: continue
                        }
                    }
                }
            }
        }
    }
}

/// Sends a call's messages until they are sent or the call is over.
private final class Feed: Sendable {
    private let over: AsyncStream<Void>
    private let finish: AsyncStream<Void>.Continuation
    private let failure = Mutex<CoveyError?>(nil)

    init() { (over, finish) = AsyncStream.makeStream() }

    /// The call is over: nothing more is sent.
    func end() { finish.finish() }

    /// Sends by `body`. What ends with the call is told by its response; what the caller's own side throws is kept.
    func run(_ body: @escaping @Sendable () async throws -> Void) async throws {
        let over = over
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await body() }
            group.addTask { for await _ in over {} }
            do {
                try await group.next()
            } catch is RPCError {
                // The response says how the call ended.
            } catch is CancellationError {
                // The same: whoever cancelled knows.
            } catch {
                let known = CoveyError.wrapping(error)
                failure.withLock { $0 = known }
                throw error
            }
            group.cancelAll()
        }
    }

    /// Makes the call by `body`. What the caller's own side threw comes before how the call ended by it.
    func telling(_ body: () async throws -> Void) async throws {
        do { try await body() } catch {
            if let failure = failure.withLock({ $0 }) { throw failure }
            throw error
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
    }
}
