internal import Synchronization

/// A store's answer to "what comes next from this revision on".
package enum WatchStep: Hashable, Sendable {
    /// The next changes, one batch a transaction; not empty.
    case changes([WatchBatch])
    /// That revision is gone.
    case compacted(Revision)
}

extension WatchStream {
    private struct Position {
        var next: Revision
        var waiting: ArraySlice<WatchBatch> = []
        var ended = false
    }

    /// A stream that asks a store step by step.
    ///
    /// - Parameters:
    ///   - first: The first revision to answer for.
    ///   - step: Waits until there is something from a revision on. A few batches at most, which the stream keeps.
    package init(from first: Revision, step: @escaping @Sendable (Revision) async throws -> WatchStep) {
        final class Shared: Sendable {
            let position: Mutex<Position>
            init(_ first: Revision) { position = Mutex(Position(next: first)) }

            func take() -> (WatchAnswer?, from: Revision?) {
                position.withLock { position in
                    if let batch = position.waiting.popFirst() { return (.changes(batch), nil) }
                    return (nil, position.ended ? nil : position.next)
                }
            }

            func add(_ step: WatchStep) -> WatchAnswer? {
                position.withLock { position in
                    switch step {
                    case .changes(let batches):
                        position.waiting = batches[...]
                        if let last = batches.last { position.next = last.revision.next }
                        return position.waiting.popFirst().map { .changes($0) }
                    case .compacted(let revision):
                        position.ended = true
                        return .compacted(revision)
                    }
                }
            }
        }
        let shared = Shared(first)
        self.init {
            try Task.checkCancellation()
            let (answer, from) = shared.take()
            if let answer { return answer }
            guard let from else { return nil }
            return shared.add(try await step(from))
        }
    }
}
