internal import Synchronization

/// Tells work on a thread of its own that its caller has given up.
package final class Cancellation: Sendable {
    private let flag = Atomic(false)

    /// Work that goes on.
    package init() {}

    /// Tells it.
    package func cancel() { flag.store(true, ordering: .relaxed) }

    /// Whether the caller has given up.
    package var isCancelled: Bool { flag.load(ordering: .relaxed) }

    /// Throws `CancellationError` once the caller has given up.
    package func check() throws {
        if flag.load(ordering: .relaxed) { throw CancellationError() }
    }
}

extension BlockingPool {
    /// Runs work that looks at its ``Cancellation`` now and then, and waits for its end in any case.
    package func run<T: Sendable>(_ body: @escaping @Sendable (Cancellation) throws -> T) async throws -> T {
        let cancellation = Cancellation()
        return try await withTaskCancellationHandler {
            try await run { @Sendable () throws -> T in
                try cancellation.check()
                return try body(cancellation)
            }
        } onCancel: {
            cancellation.cancel()
        }
    }
}
