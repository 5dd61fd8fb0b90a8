internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Synchronization

/// The shell around ``HostSideSession``: one task reads the stream, one writes it.
final class SessionCore: Sendable {
    private struct State {
        var session: HostSideSession
        var hello: GuestHello?
        var helloWaiting: CheckedContinuation<GuestHello, any Error>?
        var replies: [UInt64: CheckedContinuation<GuestReply, any Error>] = [:]
        var attaching: [UInt64: UInt32] = [:]
        var cancelled: Set<UInt64> = []
        var streams: [UInt32: ExecStream] = [:]
        var outgoing: [[UInt8]] = []
        var queued = 0
        var ended: CoveyError?
        var tasks: [Task<Void, Never>] = []
    }

    /// Bytes that may wait to be written: a guest that takes nothing makes requests fail, not memory grow.
    private static let mostQueued = 32 << 20
    /// Requests that may wait for their answers.
    private static let mostRequests = 4096

    let events = EventQueue()
    private let stream: ByteStream
    private let requestDeadline: Duration
    private let state: Mutex<State>
    private let wake: AsyncStream<Void>
    private let wakeUp: AsyncStream<Void>.Continuation

    init(stream: ByteStream, requestDeadline: Duration) {
        self.stream = stream
        self.requestDeadline = requestDeadline
        state = Mutex(State(session: HostSideSession(session: .random(in: 1 ... .max))))
        (wake, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Starts the tasks, which ``end(_:)`` cancels, and opens the session.
    func start() {
        let reader = Task { await self.readAll() }
        let writer = Task { await self.writeAll() }
        state.withLock { $0.tasks = [reader, writer] }
        state.withLock { queue($0.session.opening, &$0) }
        wakeUp.yield()
    }

    /// Waits for the guest's hello.
    func hello() async throws -> GuestHello {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now = state.withLock { state -> Result<GuestHello, any Error>? in
                    if let hello = state.hello { return .success(hello) }
                    if let ended = state.ended { return .failure(ended) }
                    state.helloWaiting = continuation
                    return nil
                }
                if let now { continuation.resume(with: now) }
            }
        } onCancel: {
            end(nil)
        }
    }

    // MARK: the tasks

    private func readAll() async {
        do {
            while true {
                let bytes = try await stream.read(limit: 256 << 10)
                if bytes.isEmpty {
                    return end(
                        CoveyError(.unavailable, "the guest's channel was closed", remedy: "is the machine running?"))
                }
                try receive(bytes)
            }
        } catch let fault as FrameFault {
            end(breach(fault.description))
        } catch is CancellationError {
            end(CoveyError(.cancelled, "the session was closed"))
        } catch {
            end(CoveyError(.unavailable, "the guest's channel failed", cause: error))
        }
    }

    private func writeAll() async {
        do {
            for await _ in wake {
                while let bytes = nextOutgoing() { try await stream.write(bytes) }
            }
        } catch {
            end(CoveyError(.unavailable, "the guest's channel failed", cause: error))
        }
    }

    private func nextOutgoing() -> [UInt8]? {
        state.withLock { state in
            guard !state.outgoing.isEmpty else { return nil }
            let bytes = state.outgoing.count == 1 ? state.outgoing[0] : Array(state.outgoing.joined())
            state.outgoing = []
            state.queued = 0
            return bytes
        }
    }

    private func queue(_ bytes: [UInt8], _ state: inout State) {
        guard !bytes.isEmpty, state.ended == nil else { return }
        state.outgoing.append(bytes)
        state.queued += bytes.count
    }

    /// Says something to the guest.
    func say(_ body: (inout HostSideSession) -> [UInt8]) {
        state.withLock { queue(body(&$0.session), &$0) }
        wakeUp.yield()
    }

    private func receive(_ bytes: [UInt8]) throws(FrameFault) {
        state.withLock { $0.session.receive(bytes) }
        while let input = try nextInput() { try handle(input) }
    }

    private func nextInput() throws(FrameFault) -> HostSideSession.Input? {
        let result = state.withLock { state -> Result<HostSideSession.Input?, FrameFault> in
            do throws(FrameFault) { return .success(try state.session.next()) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private func handle(_ input: HostSideSession.Input) throws(FrameFault) {
        switch input {
        case .hello(let hello):
            let waiting = state.withLock { state in
                state.hello = hello
                defer { state.helloWaiting = nil }
                return state.helloWaiting
            }
            waiting?.resume(returning: hello)
        case .reply(let reply): settle(reply)
        case .event(let event):
            guard events.add(event) else { throw FrameFault("more events than anybody reads") }
        case .output(let channel, let output, let offset, let bytes):
            try stream(channel)?.deliver(output, offset, bytes)
        case .dropped(let channel, let output, let count): try stream(channel)?.dropped(output, count)
        case .inputCredit(let channel, let offset): stream(channel)?.credit(offset)
        case .exit(let channel, let exit): takeStream(channel)?.finish(.success(exit))
        case .channelClosed(let channel, let error): takeStream(channel)?.finish(.failure(error))
        case .ended(let error): end(error)
        }
    }

    private func settle(_ reply: GuestReply) {
        let waiting = state.withLock { state in
            let channel = state.attaching.removeValue(forKey: reply.number)
            let waiting = state.replies.removeValue(forKey: reply.number)
            guard let channel else { return waiting }
            if let attached = reply.attached, reply.error == nil, waiting != nil {
                state.streams[channel]?.opened(attached)
            } else {
                state.streams[channel] = nil
                queue(state.session.detach(channel: channel), &state)
            }
            return waiting
        }
        if let error = reply.error { waiting?.resume(throwing: error) } else { waiting?.resume(returning: reply) }
        wakeUp.yield()
    }

    private func stream(_ channel: UInt32) -> ExecStream? { state.withLock { $0.streams[channel] } }

    private func takeStream(_ channel: UInt32) -> ExecStream? {
        state.withLock { $0.streams.removeValue(forKey: channel) }
    }

    // MARK: requests

    /// Asks the guest for something. Errors: the guest's, ``ErrorCode/deadline``, how the session ended.
    func perform(_ request: GuestRequest) async throws -> GuestReply {
        try await withDeadline(requestDeadline, "the guest's answer") { try await self.ask { _ in (request, nil) } }
    }

    /// Attaches to a program by a request.
    func attach(
        _ id: String, from: [GuestOutput: UInt64], _ acknowledgement: GuestAcknowledgement, window: UInt32? = nil,
        _ request: @escaping @Sendable (GuestAttachment) -> GuestRequest
    ) async throws -> ExecStream {
        let stream = ExecStream(id: id, core: self, acknowledgement: acknowledgement, window: window)
        _ = try await withDeadline(requestDeadline, "attaching to exec \(id)") {
            try await self.ask { session in
                let channel = session.newChannel()
                stream.channel.withLock { $0 = channel }
                return (request(GuestAttachment(channel: channel, window: stream.window, from: from)), stream)
            }
        }
        return stream
    }

    private func ask(
        _ make: @escaping @Sendable (inout HostSideSession) -> (GuestRequest, ExecStream?)
    ) async throws -> GuestReply {
        let (number, bytes) = try state.withLock { state -> (UInt64, [UInt8]) in
            if let ended = state.ended { throw ended }
            guard state.queued < SessionCore.mostQueued, state.replies.count < SessionCore.mostRequests else {
                throw CoveyError(.unavailable, "the guest does not take requests", remedy: "restart the machine")
            }
            let (request, stream) = make(&state.session)
            let (number, bytes) = try state.session.request(request)
            if let stream {
                let channel = stream.channel.withLock { $0 }
                state.streams[channel] = stream
                state.attaching[number] = channel
            }
            return (number, bytes)
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let failure = state.withLock { state -> (any Error)? in
                    if let ended = state.ended { return ended }
                    if state.cancelled.remove(number) != nil {
                        if let channel = state.attaching.removeValue(forKey: number) { state.streams[channel] = nil }
                        return CancellationError()
                    }
                    state.replies[number] = continuation
                    queue(bytes, &state)
                    return nil
                }
                if let failure { return continuation.resume(throwing: failure) }
                wakeUp.yield()
            }
        } onCancel: {
            let waiting = state.withLock { state in
                let waiting = state.replies.removeValue(forKey: number)
                if waiting == nil && state.ended == nil { state.cancelled.insert(number) }
                return waiting
            }
            waiting?.resume(throwing: CancellationError())
        }
    }

    /// Lets go of a program.
    func detach(_ channel: UInt32) {
        _ = takeStream(channel)
        say { $0.detach(channel: channel) }
    }

    /// The guest broke the protocol.
    func breach(_ what: String) -> CoveyError {
        CoveyError(
            .corrupt, "the guest broke the protocol: \(what)",
            remedy: "restart the machine; what runs in it cannot be trusted", retryable: false)
    }

    /// Ends the session once; nil where its owner closed it.
    func end(_ error: CoveyError?) {
        let why = error ?? CoveyError(.cancelled, "the session was closed")
        let state = state.withLock { state -> State? in
            guard state.ended == nil else { return nil }
            let before = state
            state.ended = why
            state.replies = [:]
            state.streams = [:]
            state.outgoing = []
            state.helloWaiting = nil
            state.tasks = []
            return before
        }
        guard let state else { return }
        stream.shutdown()
        wakeUp.finish()
        for task in state.tasks { task.cancel() }
        state.helloWaiting?.resume(throwing: why)
        for waiting in state.replies.values { waiting.resume(throwing: why) }
        for stream in state.streams.values { stream.finish(.failure(why)) }
        _ = events.add(.ended(error), last: true)
    }
}
