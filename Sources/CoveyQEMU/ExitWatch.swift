internal import CoveyModel
internal import CoveySystem
internal import CoveyVMM

/// Waits for the end of a process through the supervisor, and then ends the control connection to it.
final class ExitWatch: Sendable {
    /// How a process ended.
    struct End: Hashable, Sendable {
        /// Nil where nobody knows.
        var status: ProcessExit?
    }

    private let task: Task<End?, Never>

    /// Watches from now on. `ended` is called when the process has.
    init(_ name: String, _ supervisor: any ProcessSupervisor, ended: @escaping @Sendable () -> Void) {
        task = Task {
            let end = await Self.wait(name, supervisor)
            ended()
            return end
        }
    }

    deinit { task.cancel() }

    /// Suspends until the process has ended; nil where the watch was cancelled.
    func end() async -> End? { await task.value }

    /// The end, where it comes within a time.
    func end(within limit: Duration) async -> End? {
        do { return try await withDeadline(limit, "the end of QEMU") { await self.end() } } catch { return nil }
    }

    /// Ends the watch.
    func cancel() { task.cancel() }

    /// A supervisor that cannot be reached is asked again, seldomer each time, since the process may go on without it.
    private static func wait(_ name: String, _ supervisor: any ProcessSupervisor) async -> End? {
        var pause = Duration.milliseconds(50)
        while !Task.isCancelled {
            do {
                switch try await supervisor.waitForExit(name) {
                case .known(let status): return End(status: status)
                case .unknown: return End(status: nil)
                }
            } catch let error as CoveyError where error.code == .notFound {
                return End(status: nil)
            } catch {
                do { try await Task.sleep(for: pause) } catch { return nil }
                pause = min(pause * 2, .seconds(2))
            }
        }
        return nil
    }
}
