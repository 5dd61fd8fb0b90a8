internal import CoveyClient
internal import CoveyModel
internal import Glibc
internal import Synchronization

/// Connects this process's terminal with a program in a guest.
///
/// With a terminal the guest sees every key. Without one, SIGINT and SIGTERM go to the guest's program, and a second
/// one leaves it. Before the program has started the first one gives up.
struct ProgramRelay: Sendable {
    /// How a relay ended.
    enum End: Hashable, Sendable {
        /// The program ended, or runs on its own.
        case program(ExecExit?)
        /// The user left while it ran.
        case left
        /// The user gave up before it ran.
        case gaveUp
    }

    /// Whether standard input is sent.
    let interactive: Bool
    /// Whether the program has a terminal.
    let terminal: Bool

    /// The size to start with.
    var size: TerminalSize? { terminal ? RawTerminal.size() ?? TerminalSize(columns: 80, rows: 24) : nil }

    private final class Progress: Sendable {
        let started = Mutex(false)
        let asked = Mutex(0)
    }

    /// Relays a program that `run` starts or connects to.
    func relay(
        _ run:
            @escaping @Sendable (ExecSource, @escaping @Sendable (ExecOutput) async throws -> Void) async throws ->
            ExecExit?
    ) async throws -> End {
        let streams = try StandardStreams()
        let raw = terminal && Standard.isTerminal(STDIN_FILENO)
        let caught = SignalStream([SIGINT, SIGTERM, SIGHUP] + (terminal ? [SIGWINCH] : []))
        defer { caught.stop() }
        if raw { try RawTerminal.enter() }
        defer { if raw { RawTerminal.leave() } }
        let (control, feed) = AsyncStream<ExecInput>.makeStream()
        let progress = Progress()
        var source = ExecSource(control: control)
        if interactive {
            source.standardInput = { @Sendable () async throws -> [UInt8]? in try await streams.read() }
        }
        let given = source
        return try await withThrowingTaskGroup(of: End?.self) { group in
            group.addTask {
                let exit = try await run(given) { piece in
                    progress.started.withLock { $0 = true }
                    switch piece {
                    case .stdout(let bytes): try await streams.write(STDOUT_FILENO, bytes)
                    case .stderr(let bytes): try await streams.write(STDERR_FILENO, bytes)
                    case .started, .exited: break
                    }
                }
                return End.program(exit)
            }
            group.addTask {
                for await number in caught.signals {
                    if number == SIGWINCH {
                        if let size = RawTerminal.size() { feed.yield(.resize(size)) }
                        continue
                    }
                    guard progress.started.withLock({ $0 }) else { return End.gaveUp }
                    let times = progress.asked.withLock { asked in
                        asked += 1
                        return asked
                    }
                    if times > 1 || number == SIGHUP { return End.left }
                    feed.yield(.signal(number))
                }
                return nil
            }
            defer {
                feed.finish()
                group.cancelAll()
            }
            while let end = try await group.next() {
                if let end { return end }
            }
            return .left
        }
    }
}
