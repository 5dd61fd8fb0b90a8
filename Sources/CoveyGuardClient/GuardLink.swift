internal import CoveyGuardProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// The connection ended before an answer came: whether the request was carried out is not known.
struct LinkLost: Error {}

/// One connection to a guard, with any number of calls at once.
final class GuardLink: Sendable {
    private enum Call {
        /// It is being sent, or nobody waits yet.
        case sent
        case waiting(CheckedContinuation<GuardResponse, any Error>)
        case ended(Result<GuardResponse, any Error>)
    }

    private struct State {
        var calls: [UInt64: Call] = [:]
        var nextID: UInt64 = 0
        var isLost = false
    }

    private let socket: FileDescriptor
    private let reactor: Reactor
    private let state = Mutex(State())

    /// Takes a connected socket; ``serve()`` has to run for answers to come.
    init(_ socket: consuming FileDescriptor, reactor: Reactor) {
        self.socket = socket
        self.reactor = reactor
    }

    /// Whether the connection has ended.
    var isLost: Bool { state.withLock { $0.isLost } }

    /// Ends the connection; calls that wait get ``LinkLost``.
    func shutdown() { _ = Glibc.shutdown(socket.raw, Int32(SHUT_RDWR)) }

    /// Receives answers until the connection ends.
    func serve() async {
        do {
            while true {
                guard let packet = try receivePacket(socket.raw, limit: GuardProtocol.longestPacket) else {
                    try await reactor.readable(socket.raw)
                    continue
                }
                for descriptor in packet.descriptors { _ = close(descriptor) }
                if packet.bytes.isEmpty { break }
                let (id, response) = try GuardResponse.decode(packet.bytes)
                end(id, .success(response))
            }
        } catch {
            // Whatever it was, the connection is of no use any more: callers connect again.
            shutdown()
        }
        let left = state.withLock { state in
            state.isLost = true
            return Array(state.calls.keys)
        }
        for id in left { end(id, .failure(LinkLost())) }
    }

    /// Sends a request and suspends until its answer. Errors: ``LinkLost``, `CancellationError`.
    func call(_ request: GuardRequest, descriptors: [Int32] = []) async throws -> GuardResponse {
        let id = state.withLock { state in
            state.nextID += 1
            state.calls[state.nextID] = .sent
            return state.nextID
        }
        defer { state.withLock { $0.calls[id] = nil } }
        let packet = request.encoded(id: id)
        guard packet.count <= GuardProtocol.longestPacket else {
            throw CoveyError(
                .invalid, "the request has \(packet.count) bytes", remedy: "pass fewer or shorter arguments")
        }
        return try await withTaskCancellationHandler {
            do {
                while try !sendPacket(socket.raw, packet, descriptors: descriptors) {
                    // The socket is full: the guard takes a packet in a moment, and the caller has the deadline.
                    try await Task.sleep(for: .milliseconds(2))
                }
            } catch let error as SystemError {
                guard [EPIPE, ECONNRESET, ENOTCONN].contains(error.errno) else { throw error }
                throw LinkLost()
            }
            return try await answer(to: id)
        } onCancel: {
            end(id, .failure(CancellationError()))
            guard case .wait = request else { return }
            // Where it is not sent, the guard answers a wait that nobody has; it is dropped here.
            _ = try? sendPacket(socket.raw, GuardRequest.cancelWait(id: id).encoded(id: 0))
        }
    }

    private func answer(to id: UInt64) async throws -> GuardResponse {
        try await withCheckedThrowingContinuation { continuation in
            let result: Result<GuardResponse, any Error>? = state.withLock { state in
                switch state.calls[id] {
                case .ended(let result): return result
                case .sent where !state.isLost:
                    state.calls[id] = .waiting(continuation)
                    return nil
                case .sent, .waiting, nil: return .failure(LinkLost())
                }
            }
            if let result { continuation.resume(with: result) }
        }
    }

    /// Ends a call; its first end counts.
    private func end(_ id: UInt64, _ result: Result<GuardResponse, any Error>) {
        let continuation: CheckedContinuation<GuardResponse, any Error>? = state.withLock { state in
            switch state.calls[id] {
            case .waiting(let continuation):
                state.calls[id] = .ended(result)
                return continuation
            case .sent:
                state.calls[id] = .ended(result)
                return nil
            case .ended, nil: return nil
            }
        }
        continuation?.resume(with: result)
    }
}
