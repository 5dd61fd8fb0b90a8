internal import CoveyModel
internal import Synchronization

/// Joins what is stored of an operation with the live figures of its node. Only the newest state waits for a reader:
/// a slow caller skips states, and never sees an older one after a newer one.
final class OperationFeed: Sendable {
    private struct State {
        var operation: Operation
        var live: [OperationStage] = []
    }

    private let state: Mutex<State>
    private let continuation: AsyncStream<Operation>.Continuation

    /// The states; read by one reader.
    let states: AsyncStream<Operation>

    init(_ operation: Operation) {
        state = Mutex(State(operation: operation))
        (states, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Takes a stored state. Returns whether it is the last.
    func stored(_ operation: Operation) -> Bool {
        state.withLock { state in
            state.operation = operation
            continuation.yield(OperationFeed.join(state))
        }
        guard operation.status.state.isFinal else { return false }
        continuation.finish()
        return true
    }

    /// Takes live figures.
    func progress(_ stages: [OperationStage]) {
        state.withLock { state in
            guard !state.operation.status.state.isFinal else { return }
            state.live = stages
            continuation.yield(OperationFeed.join(state))
        }
    }

    /// Ends the feed without a last state.
    func finish() { continuation.finish() }

    private static func join(_ state: State) -> Operation {
        var operation = state.operation
        guard !operation.status.state.isFinal else { return operation }
        for stage in state.live {
            guard let index = operation.status.stages.firstIndex(where: { $0.name == stage.name }) else {
                operation.status.stages.append(stage)
                continue
            }
            operation.status.stages[index].done = stage.done
            operation.status.stages[index].total = stage.total
            operation.status.stages[index].unit = stage.unit
        }
        return operation
    }
}
