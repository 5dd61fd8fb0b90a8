internal import CoveyAPI
package import CoveyModel
internal import CoveySystem
package import GRPCCore
internal import GRPCProtobuf
package import Logging
internal import Synchronization

/// What every call passes: caller, rate limit, permission, tenant, request id, deadline, counters, error mapping.
package struct CallChain: ServerInterceptor {
    /// The metadata key under which the transport says who the peer is; what a client sends under it is dropped.
    package static let peerKey = "covey-peer-uid"

    private let callers: CallerSource
    private let authorizer: any Authorizer
    private let rules: [String: MethodRule]
    private let limiter: Limiter
    private let shutdown: ShutdownSignal
    private let logger: Logger
    /// What was counted.
    package let counters: CallCounters

    private final class Limiter: Sendable {
        let buckets: Mutex<TokenBuckets>
        let now: @Sendable () -> Duration
        init(_ limit: RateLimit, now: @escaping @Sendable () -> Duration) {
            buckets = Mutex(TokenBuckets(limit))
            self.now = now
        }
    }

    /// Makes a chain. `elapsed` is the time since some fixed instant.
    package init(
        callers: CallerSource, authorizer: any Authorizer, rules: [String: MethodRule] = MethodRules.table,
        limit: RateLimit, elapsed: @escaping @Sendable () -> Duration, shutdown: ShutdownSignal, logger: Logger,
        counters: CallCounters = CallCounters()
    ) {
        self.callers = callers
        self.authorizer = authorizer
        self.rules = rules
        limiter = Limiter(limit, now: elapsed)
        self.shutdown = shutdown
        self.logger = logger
        self.counters = counters
    }

    package func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>, context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        let method = context.descriptor.fullyQualifiedMethod
        counters.begin(method)
        do {
            let caller = try caller(of: request.metadata)
            try limiter.buckets.withLock { try $0.take(caller, at: limiter.now()) }
            guard let rule = rules[method] else {
                throw CoveyError(.denied, "method \(method) has no rule, so nobody may call it")
            }
            if shutdown.isRaised { throw CallChain.stopping }
            var admitted = request
            let gate = FirstMessage(method: method, rule: rule, caller: caller, authorizer: authorizer)
            admitted.messages = RPCAsyncSequence(
                wrapping: AdmittedMessages(base: request.messages, gate: gate))
            var response = try await next(admitted, context)
            switch response.accepted {
            case .failure(let error): return end(method, failing: error)
            case .success(var contents):
                let produce = contents.producer
                contents.producer = { writer in
                    do {
                        let trailing = try await untilLeft(context) { try await produce(writer) }
                        counters.end(method, failure: nil)
                        return trailing
                    } catch { throw failed(method, error) }
                }
                response.accepted = .success(contents)
                return response
            }
        } catch { throw failed(method, error) }
    }

    private func caller(of metadata: GRPCCore.Metadata) throws(CoveyError) -> Caller {
        switch callers {
        case .fixed(let caller): return caller
        case .peerCredentials:
            let named = metadata[stringValues: CallChain.peerKey].first { _ in true }
            guard let named, let uid = UInt32(named) else {
                throw CoveyError(.unauthenticated, "the caller's user is not known")
            }
            return Caller(uid: uid)
        }
    }

    /// Runs a call until it is done, its caller leaves or its deadline passes, or the server stops.
    private func untilLeft<Result: Sendable>(
        _ context: ServerContext, _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await context.cancellation.cancelled
                throw CoveyError(.cancelled, "the caller left or its deadline passed")
            }
            group.addTask {
                await shutdown.wait()
                if Task.isCancelled { return nil }
                throw CallChain.stopping
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    private static let stopping = CoveyError(
        .unavailable, "the covey daemon is stopping", remedy: "try again when it is back; machines go on running")

    private func end<Output>(_ method: String, failing error: RPCError) -> StreamingServerResponse<Output> {
        counters.end(method, failure: CoveyError(error).code)
        return StreamingServerResponse(error: error)
    }

    /// The error as it travels.
    private func failed(_ method: String, _ error: any Error) -> RPCError {
        if let error = error as? RPCError {
            counters.end(method, failure: CoveyError(error).code)
            return error
        }
        let known = CoveyError.wrapping(error)
        counters.end(method, failure: known.code)
        logger.log(
            level: known.code == .internalError ? .error : .debug, "call failed",
            metadata: ["method": "\(method)", "code": "\(known.code.rawValue)", "error": "\(known.description)"])
        return RPCError(known.rpcStatus)
    }
}

/// What the first message of a call is checked for.
private struct FirstMessage: Sendable {
    let method: String
    let rule: MethodRule
    let caller: Caller
    let authorizer: any Authorizer

    func admit(_ message: some Sendable) async throws {
        let scope = message as? any CallScope
        if let id = scope?.scopeRequestID { try checkRequestID(id) }
        switch rule {
        case .open: return
        case .host(let permission): try await authorizer.authorize(caller, permission, tenant: nil)
        case .tenant(let permission):
            guard let name = scope?.scopeTenant else {
                throw CoveyError(.internalError, "the request of \(method) names no tenant")
            }
            try await authorizer.authorize(caller, permission, tenant: try Tenant(named: name))
        }
    }

    private func checkRequestID(_ id: String) throws(CoveyError) {
        let valid = id.utf8.count <= 128 && id.utf8.allSatisfy { (33...126).contains($0) }
        guard valid else {
            throw CoveyError(
                .invalid, "the request id is no printable ASCII of at most 128 bytes",
                remedy: "use a random UUID for each request, and the same one to repeat it")
        }
    }
}

extension Tenant {
    /// A tenant by the name of a request; an empty one is the standard tenant.
    package init(named name: String) throws(CoveyError) {
        self = name.isEmpty ? .standard : try Tenant(name)
    }
}

/// A call's messages, the first of which is checked before anybody sees it.
private struct AdmittedMessages<Message: Sendable>: AsyncSequence, Sendable {
    typealias Element = Message

    let base: RPCAsyncSequence<Message, any Error>
    let gate: FirstMessage

    struct Iterator: AsyncIteratorProtocol {
        var base: RPCAsyncSequence<Message, any Error>.AsyncIterator
        let gate: FirstMessage
        var first = true

        mutating func next() async throws -> Message? {
            guard let message = try await base.next() else { return nil }
            if first {
                try await gate.admit(message)
                first = false
            }
            return message
        }

        mutating func next(isolation actor: isolated (any Actor)?) async throws(any Error) -> Message? {
            guard let message = try await base.next(isolation: actor) else { return nil }
            if first {
                try await gate.admit(message)
                first = false
            }
            return message
        }
    }

    func makeAsyncIterator() -> Iterator { Iterator(base: base.makeAsyncIterator(), gate: gate) }
}
