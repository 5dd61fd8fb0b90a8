package import CoveyModel
internal import Synchronization

/// Tells waiting watchers that a store has a new revision.
package final class RevisionSignal: Sendable {
    private struct Waiter {
        var wanted: Revision
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var newest: Revision
        var waiters: [Int: Waiter] = [:]
        var count = 0
        var closed: CoveyError?
    }

    private let state: Mutex<State>

    /// A signal of a store that is at a revision.
    package init(_ newest: Revision) { state = Mutex(State(newest: newest)) }

    /// The newest revision that it was told of.
    package var current: Revision { state.withLock { $0.newest } }

    /// Wakes those who wait for this revision or an earlier one.
    package func advance(to revision: Revision) {
        let due = state.withLock { state -> [Waiter] in
            state.newest = max(state.newest, revision)
            let due = state.waiters.filter { $0.value.wanted <= state.newest }.sorted { $0.key < $1.key }
            for (id, _) in due { state.waiters[id] = nil }
            return due.map(\.value)
        }
        for waiter in due { waiter.continuation.resume() }
    }

    /// Waits until the store has a revision. Errors: `CancellationError`; what ``close(_:)`` was given.
    package func wait(for revision: Revision) async throws {
        let id = state.withLock { state in
            state.count += 1
            return state.count
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let now = state.withLock { state -> Result<Void, any Error>? in
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if let closed = state.closed { return .failure(closed) }
                    if state.newest >= revision { return .success(()) }
                    state.waiters[id] = Waiter(wanted: revision, continuation: continuation)
                    return nil
                }
                if let now { continuation.resume(with: now) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.removeValue(forKey: id) }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Fails those who wait, and all who will.
    package func close(_ error: CoveyError) {
        let waiters = state.withLock { state in
            defer { state.waiters = [:] }
            state.closed = error
            return state.waiters.sorted { $0.key < $1.key }.map(\.value)
        }
        for waiter in waiters { waiter.continuation.resume(throwing: error) }
    }
}
