internal import CoveyModel
internal import CoveySystem
internal import Synchronization

/// An event of QEMU's.
struct QMPEvent: Hashable, Sendable {
    /// Its name, such as `SHUTDOWN`.
    var name: String
    /// What it carries.
    var data: JSONValue
}

/// One connection to a QEMU's monitor. Every wait has a deadline; when the connection ends, whoever waits is told.
final class QMPClient: Sendable {
    private struct State {
        var nextID: Int64 = 1
        var greeting: String?
        var waiting: [Int64: CheckedContinuation<JSONValue, any Error>] = [:]
        var end: CoveyError?
    }

    /// The greeting is waited for like the answer to a command of this id.
    private static let greetingID: Int64 = 0

    private let stream: ByteStream
    private let state = Mutex(State())
    private let outgoing: AsyncStream<[UInt8]>.Continuation

    /// What happened, until the connection ends. At most 256 wait to be read; then the oldest are lost.
    let events: AsyncStream<QMPEvent>
    private let eventSink: AsyncStream<QMPEvent>.Continuation

    /// Speaks over a stream, from now until ``close()`` or its end.
    init(_ stream: ByteStream) {
        self.stream = stream
        (events, eventSink) = AsyncStream.makeStream(of: QMPEvent.self, bufferingPolicy: .bufferingNewest(256))
        // As long as the callers: each waits for the answer to its one line.
        let lines: AsyncStream<[UInt8]>
        (lines, outgoing) = AsyncStream.makeStream(of: [UInt8].self, bufferingPolicy: .unbounded)
        // Both tasks end with the stream, which close() and deinit shut down; cancelling them would lose last events.
        Task { [weak self, stream] in
            var qmp = QMPProtocol()
            var failure = CoveyError(.unavailable, "QEMU closed its control connection")
            do {
                while true {
                    let bytes = try await stream.read()
                    if bytes.isEmpty { break }
                    let messages = try qmp.receive(bytes)
                    guard let self else { return }
                    for message in messages { self.handle(message) }
                }
            } catch {
                failure = CoveyError.wrapping(error, "control connection to QEMU")
            }
            self?.end(failure)
        }
        Task { [stream] in
            do {
                for await line in lines { try await stream.write(line) }
            } catch {
                stream.shutdown()  // The reader sees the end and tells whoever waits.
            }
        }
    }

    deinit { close() }

    /// Ends the connection; events that QEMU had sent already are still delivered.
    func close() {
        stream.shutdown()
        outgoing.finish()
    }

    /// Waits for the greeting and takes up the command mode. Returns QEMU's version.
    func handshake(within limit: Duration) async throws -> String {
        try await withDeadline(limit, "the greeting of QEMU's control socket") {
            _ = try await self.answer(Self.greetingID, sending: nil)
        }
        _ = try await execute("qmp_capabilities", within: limit)
        return state.withLock { $0.greeting } ?? "unknown"
    }

    /// Sends a command and waits for its answer. Errors: ``ErrorCode/deadline``, ``ErrorCode/unavailable`` where the
    /// connection is gone, ``ErrorCode/corrupt`` where it sent garbage, ``ErrorCode/failure`` with QEMU's text.
    @discardableResult
    func execute(
        _ command: String, _ arguments: JSONValue? = nil, within limit: Duration = .seconds(10)
    ) async throws -> JSONValue {
        let id = state.withLock { state in
            defer { state.nextID += 1 }
            return state.nextID
        }
        let line = try QMPProtocol.line(command, arguments, id: id)
        do {
            return try await withDeadline(limit, "QEMU's answer to \(command)") {
                try await self.answer(id, sending: line)
            }
        } catch let error as QMPFailure {
            throw CoveyError(.failure, "QEMU refused \(command): \(error.text)")
        }
    }

    private func answer(_ id: Int64, sending line: [UInt8]?) async throws -> JSONValue {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let early = state.withLock { state -> Result<JSONValue, any Error>? in
                    if id == Self.greetingID, state.greeting != nil { return .success(.null) }
                    if let end = state.end { return .failure(end) }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiting[id] = continuation
                    return nil
                }
                if let early { return continuation.resume(with: early) }
                if let line { outgoing.yield(line) }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.resume(throwing: CancellationError())
        }
    }

    private func handle(_ message: QMPMessage) {
        switch message {
        case .greeting(let version):
            let waiting = state.withLock { state in
                state.greeting = version
                return state.waiting.removeValue(forKey: Self.greetingID)
            }
            waiting?.resume(returning: .null)
        case .result(let id, let value):
            state.withLock { $0.waiting.removeValue(forKey: id) }?.resume(returning: value)
        case .failure(let id, let kind, let text):
            let waiting = state.withLock { $0.waiting.removeValue(forKey: id) }
            waiting?.resume(throwing: QMPFailure(kind: kind, text: text))
        case .event(let name, let data): eventSink.yield(QMPEvent(name: name, data: data))
        case .other: break
        }
    }

    private func end(_ failure: CoveyError) {
        let waiting = state.withLock { state in
            state.end = failure
            defer { state.waiting = [:] }
            return state.waiting.values.map { $0 }
        }
        for continuation in waiting { continuation.resume(throwing: failure) }
        stream.shutdown()
        outgoing.finish()
        eventSink.finish()
    }
}

/// QEMU's refusal of a command.
private struct QMPFailure: Error {
    var kind: String
    var text: String
}
