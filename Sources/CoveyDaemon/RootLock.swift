internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// Two daemons never share a root, whatever their stores are; nor does one run while its state is moved or restored.
/// Taken before anything else of the root.
final class RootLock: Sendable {
    private let file: Mutex<FileDescriptor?>

    /// Takes the lock of a root by its folder for state, or waits a moment for it: a daemon that was killed while it
    /// started a tool leaves its locks with that child until it execs. Errors: ``ErrorCode/conflict`` where another one has
    /// it.
    init(_ folder: String) async throws {
        let path = "\(folder)/daemon.lock"
        let descriptor = try openFile(path, [.readWrite, .create], mode: 0o600)
        let raw = descriptor.raw
        file = Mutex(descriptor)
        let end = ContinuousClock.now + .seconds(2)
        while try !tryLock(raw) {
            guard ContinuousClock.now < end else {
                throw CoveyError(
                    .conflict, "the root of \(path) is in use by another daemon",
                    remedy: "stop that daemon, or give this one another --root")
            }
            // No event tells that a lock is free.
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Frees it; again is no error.
    func release() { file.withLock { $0 = nil } }
}
