internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// This process's terminal while a program elsewhere has it: raw, followed in its size, and given back on every way out.
final class TerminalSession: Sendable {
    /// Why it is given back while the program goes on.
    enum Leaving: Hashable, Sendable {
        /// The user typed the keys for it.
        case keys
        /// A signal, or the terminal itself is gone.
        case signal(Int32)
    }

    private struct State {
        var scanner: DetachScanner
        var changes = TerminalChanges()
    }

    private static let signals = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT]

    /// What the user wants besides typing.
    let leaving: AsyncStream<Leaving>
    /// Sizes; the second of two is that of the window.
    let sizes: AsyncStream<TerminalSize>
    private let leave: AsyncStream<Leaving>.Continuation
    private let resize: AsyncStream<TerminalSize>.Continuation
    private let caught: SignalStream
    private let never = AsyncStream<Void>.makeStream()
    private let streams: StandardStreams
    private let state: Mutex<State>

    /// Takes the terminal. Errors: standard input is none.
    init(_ keys: DetachKeys, _ streams: StandardStreams) throws(SystemError) {
        self.streams = streams
        state = Mutex(State(scanner: DetachScanner(keys)))
        (leaving, leave) = AsyncStream.makeStream()
        (sizes, resize) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(8))
        caught = SignalStream(TerminalSession.signals)
        do throws(SystemError) { try TerminalMode.enterRaw() } catch {
            caught.stop()
            throw error
        }
    }

    /// Hears signals until ``end()``.
    func hear() async throws {
        for await number in caught.signals {
            switch number {
            case SIGWINCH: if let size = TerminalWindow.size { resize.yield(size) }
            case SIGTSTP:
                TerminalMode.restore()
                _ = kill(getpid(), SIGSTOP)
            case SIGCONT: try await goOn()
            case _: leave.yield(.signal(number))
            }
        }
    }

    /// The process was stopped, and another one may have had the terminal.
    private func goOn() async throws {
        guard TerminalMode.isForeground else { return }
        try TerminalMode.enterRaw()
        guard let size = TerminalWindow.size else { return }
        // A program draws anew when its window changes: for a moment it is a line shorter.
        if size.rows > 1 {
            resize.yield(TerminalSize(columns: size.columns, rows: size.rows - 1))
            // Two changes at once would be one signal to the program; nothing tells that it took the first.
            try await Task.sleep(for: .milliseconds(100))
        }
        resize.yield(size)
    }

    /// What is typed next, without the keys by which the user leaves. It has no end: a terminal that is gone is left.
    func read() async throws -> [UInt8] {
        do {
            guard let bytes = try await streams.read() else {
                return try await gone()
            }
            let (passed, leaves) = state.withLock { $0.scanner.scan(bytes) }
            if leaves { leave.yield(.keys) }
            return passed
        } catch let error as SystemError where error.isErrno(EIO) {
            return try await gone()
        }
    }

    private func gone() async throws -> [UInt8] {
        leave.yield(.signal(SIGHUP))
        for await _ in never.stream {}
        throw CancellationError()
    }

    /// Shows what the program writes.
    func write(_ bytes: [UInt8], to descriptor: Int32 = STDOUT_FILENO) async throws {
        state.withLock { $0.changes.note(bytes) }
        do {
            try await streams.write(descriptor, bytes)
        } catch let error as SystemError where error.isErrno(EIO) {
            leave.yield(.signal(SIGHUP))
        }
    }

    /// Gives the terminal back. With `undoing` also what a program that goes on has changed about it.
    func end(undoing: Bool) {
        caught.stop()
        leave.finish()
        resize.finish()
        TerminalMode.restore()
        guard undoing else { return }
        let bytes = state.withLock { $0.changes.undoing }
        do { try writeAll(STDOUT_FILENO, bytes) } catch { /* The terminal is gone, and with it what was changed. */  }
    }
}
