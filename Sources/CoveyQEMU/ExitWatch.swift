internal import CoveyModel
internal import CoveySystem
internal import CoveyVMM
internal import Synchronization

/// Waits for the end of a process through the supervisor, and then ends the control connection to it.
final class ExitWatch: Sendable {
    /// How a process ended.
    struct End: Hashable, Sendable {
        /// Nil where nobody knows.
        var status: ProcessExit?
    }

    private let outcome = Outcome()
    private let task: Task<Void, Never>

    /// Watches from now on. `ended` is called when the process has.
    init(_ name: String, _ supervisor: any ProcessSupervisor, ended: @escaping @Sendable () -> Void) {
        task = Task { [outcome] in
            outcome.settle(await Self.wait(name, supervisor))
            ended()
        }
    }

    deinit { cancel() }

    /// Suspends until the process has ended; nil where the watch was cancelled.
    func end() async -> End? { await outcome.wait() }

    /// The end, where it comes within a time.
    func end(within limit: Duration) async -> End? {
        do { return try await withDeadline(limit, "the end of QEMU") { await self.end() } } catch { return nil }
    }

    /// Ends the watch at once, also where the supervisor ignores it.
    func cancel() {
        task.cancel()
        outcome.settle(nil)
    }

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
                // The guard is away for a moment, and no event tells when it is back; the watch lasts as long as the VMM.
                do { try await Task.sleep(for: pause) } catch { return nil }
                pause = min(pause * 2, .seconds(2))
            }
        }
        return nil
    }
}

/// The first outcome, for all who wait for it.
private final class Outcome: Sendable {
    private enum State {
        case open([CheckedContinuation<ExitWatch.End?, Never>])
        case settled(ExitWatch.End?)
    }

    private let state = Mutex(State.open([]))

    func settle(_ end: ExitWatch.End?) {
        let waiting = state.withLock { state -> [CheckedContinuation<ExitWatch.End?, Never>] in
            guard case .open(let waiting) = state else { return [] }
            state = .settled(end)
            return waiting
        }
        for continuation in waiting { continuation.resume(returning: end) }
    }

    func wait() async -> ExitWatch.End? {
        await withCheckedContinuation { continuation in
            let settled = state.withLock { state -> ExitWatch.End?? in
                switch state {
                case .settled(let end): return .some(end)
                case .open(let waiting):
                    state = .open(waiting + [continuation])
                    return nil
                }
            }
            if let settled { continuation.resume(returning: settled) }
        }
    }
}
