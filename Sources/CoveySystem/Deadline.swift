internal import CoveyModel
internal import Synchronization

/// Runs `operation`, and throws ``ErrorCode/deadline`` when it has not ended after `limit`.
///
/// The operation is cancelled at the deadline and **abandoned**: one that ignores cancellation
/// does not hold the caller. Cancelling the caller cancels and abandons it too.
package func withDeadline<T: Sendable>(
    _ limit: Duration, _ what: @autoclosure () -> String, clock: any Clock<Duration> = ContinuousClock(),
    operation: @escaping @Sendable () async throws -> T
) async throws -> T {
    let race = Race<T>()
    let what = what()
    return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
            race.start(continuation)
            race.own(
                Task {
                    do { race.finish(.success(try await operation())) } catch { race.finish(.failure(error)) }
                })
            race.own(
                Task {
                    do { try await clock.sleep(for: limit) } catch { return }
                    race.finish(.failure(CoveyError(.deadline, "\(what) did not finish within \(limit.text)")))
                })
        }
    } onCancel: {
        race.finish(.failure(CancellationError()))
    }
}

/// The first result wins; both tasks are cancelled then.
private final class Race<T: Sendable>: Sendable {
    private struct State {
        var continuation: CheckedContinuation<T, any Error>?
        var early: Result<T, any Error>?
        var tasks: [Task<Void, Never>] = []
        var done = false
    }

    private let state = Mutex(State())

    func start(_ continuation: CheckedContinuation<T, any Error>) {
        let early = state.withLock { state -> Result<T, any Error>? in
            if state.early == nil { state.continuation = continuation }
            return state.early
        }
        if let early { continuation.resume(with: early) }
    }

    func own(_ task: Task<Void, Never>) {
        let late = state.withLock { state in
            if !state.done { state.tasks.append(task) }
            return state.done
        }
        if late { task.cancel() }
    }

    func finish(_ result: Result<T, any Error>) {
        let (continuation, tasks) = state.withLock { state in
            guard !state.done else { return (CheckedContinuation<T, any Error>?.none, [Task<Void, Never>]()) }
            state.done = true
            if state.continuation == nil { state.early = result }
            defer {
                state.continuation = nil
                state.tasks = []
            }
            return (state.continuation, state.tasks)
        }
        for task in tasks { task.cancel() }
        continuation?.resume(with: result)
    }
}
