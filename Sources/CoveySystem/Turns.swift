internal import Synchronization

/// One at a time for each key, the rest in the order they came.
///
/// The work runs in the caller's own task, so that cancelling a caller cancels its work and nobody else's.
package final class Turns<Key: Hashable & Sendable>: Sendable {
    private typealias Waiter = (ticket: UInt64, continuation: CheckedContinuation<Void, any Error>)

    private struct State {
        var queues: [Key: [Waiter]] = [:]
        var cancelled: Set<UInt64> = []
        var next: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Turns that nobody has taken.
    package init() {}

    /// Whether somebody works on the key.
    package func isTaken(_ key: Key) -> Bool { state.withLock { $0.queues[key] != nil } }

    /// Runs `body` when it is this caller's turn. Errors: `CancellationError` while waiting, and what `body` throws.
    package func run<T: Sendable>(_ key: Key, _ body: () async throws -> T) async throws -> T {
        try await enter(key)
        defer { leave(key) }
        try Task.checkCancellation()
        return try await body()
    }

    private func enter(_ key: Key) async throws {
        let ticket = state.withLock { state in
            state.next += 1
            return state.next
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let answer: Result<Void, any Error>? = state.withLock { state in
                    if state.cancelled.remove(ticket) != nil { return .failure(CancellationError()) }
                    guard state.queues[key] != nil else {
                        state.queues[key] = []
                        return .success(())
                    }
                    state.queues[key]?.append((ticket, continuation))
                    return nil
                }
                if let answer { continuation.resume(with: answer) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard let index = state.queues[key]?.firstIndex(where: { $0.ticket == ticket }) else {
                    state.cancelled.insert(ticket)
                    return nil
                }
                return state.queues[key]?.remove(at: index)
            }
            waiter?.continuation.resume(throwing: CancellationError())
        }
        state.withLock { _ = $0.cancelled.remove(ticket) }
    }

    private func leave(_ key: Key) {
        let next = state.withLock { state -> Waiter? in
            guard state.queues[key]?.isEmpty == false else {
                state.queues[key] = nil
                return nil
            }
            return state.queues[key]?.removeFirst()
        }
        next?.continuation.resume()
    }
}
