internal import CoveyModel
internal import Synchronization

/// Says once that the server stops; long calls end by it.
package final class ShutdownSignal: Sendable {
    private struct State {
        var raised = false
        var next: UInt64 = 0
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// A signal that is not raised.
    package init() {}

    /// Whether it was raised.
    package var isRaised: Bool { state.withLock { $0.raised } }

    /// Raises it, for ever.
    package func raise() {
        let waiting = state.withLock { state in
            state.raised = true
            defer { state.waiting = [:] }
            return Array(state.waiting.values)
        }
        for continuation in waiting { continuation.resume() }
    }

    /// Returns when it is raised, or when the task is cancelled.
    package func wait() async {
        let number = state.withLock { state in
            state.next += 1
            return state.next
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let now = state.withLock { state in
                    if state.raised || Task.isCancelled { return true }
                    state.waiting[number] = continuation
                    return false
                }
                if now { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: number) }?.resume()
        }
    }
}
