internal import CCovey
internal import CoveySystem
internal import Glibc

/// A network namespace in which blocking work is done: sockets that are opened and programs that are started belong to it.
package final class NetworkNamespace: Sendable {
    /// The namespace, as long as this lives.
    let descriptor: FileDescriptor
    private let pool = BlockingPool("covey-network")

    private init(owning descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// A namespace of its own that ends with its last user. Errors: what unshare(2) answers.
    package static func make() async throws -> NetworkNamespace {
        try await BlockingPool("covey-network").run {
            let raw = try check("unshare", "network") { covey_make_network() }
            return NetworkNamespace(owning: FileDescriptor(owning: raw))
        }
    }

    /// Runs blocking work in it. Errors: what the work throws, and what setns(2) answers.
    package func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await pool.run { try self.inside(body) }
    }

    /// Runs work in it on this thread, which must be one that may block.
    package func inside<T>(_ body: () throws -> T) throws -> T {
        let before = try openFile("/proc/thread-self/ns/net", .readOnly)
        try check("setns", "a network namespace") { covey_enter_network(descriptor.raw) }
        defer {
            // A thread that cannot go back would do the host's work in the wrong place.
            let left = covey_enter_network(before.raw)
            precondition(left == 0, "a thread could not leave a network namespace: \(errno)")
        }
        return try body()
    }
}
