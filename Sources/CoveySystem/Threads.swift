internal import CCovey
internal import Dispatch
internal import Glibc

/// Starts a detached thread that runs `body` and ends with it.
package func startThread(named name: String, _ body: @escaping @Sendable () -> Void) {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Box(body))
    let result = pthread_create(
        &thread, &attributes,
        { argument in
            guard let argument else { return nil }
            Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
    precondition(result == 0, "no thread could be started: \(result)")
    covey_name_thread(thread, name)
}

/// Runs calls that block (fsync, flock, copies) on threads of their own, away from the cooperative pool.
package struct BlockingPool: Sendable {
    private let queue: DispatchQueue

    /// A pool whose threads carry a name.
    package init(_ name: String = "covey-blocking") {
        queue = DispatchQueue(label: name, attributes: .concurrent)
    }

    /// Runs `body` on a thread of the pool and suspends until it is done; cancelling does not interrupt it.
    package func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { @Sendable in continuation.resume(with: Result(catching: body)) }
        }
    }
}
