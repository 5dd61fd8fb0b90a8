internal import CoveyClient
internal import CoveyModel
internal import Glibc
internal import Synchronization

/// Connects this process's terminal with a program in a guest.
///
/// With a terminal the guest sees every key, and a signal or the keys for it leave the program running. Without one,
/// SIGINT and SIGTERM go to the guest's program, and a second one leaves it. Before the program has started the first one
/// gives up.
struct ProgramRelay: Sendable {
    /// How a relay ended.
    enum End: Hashable, Sendable {
        /// The program ended, or runs on its own.
        case program(ExecExit?)
        /// The user left while it ran: by the keys for it, or otherwise.
        case left(byKeys: Bool)
        /// The user gave up before it ran.
        case gaveUp
    }

    /// A call that starts a program or connects to one.
    typealias Call =
        @Sendable (ExecSource, @escaping @Sendable (ExecOutput) async throws -> Void) async throws -> ExecExit?

    /// Whether standard input is sent.
    let interactive: Bool
    /// Whether the program has a terminal.
    let terminal: Bool
    /// What leaves a program with a terminal.
    var detachKeys = DetachKeys.usual
    /// Whether what comes first was said before.
    var replays = false

    /// The size to start with.
    var size: TerminalSize? { terminal ? TerminalWindow.size ?? TerminalSize(columns: 80, rows: 24) : nil }

    private final class Progress: Sendable {
        let started = Mutex(false)
        let asked = Mutex(0)
        let replay: Mutex<ReplayFilter?>

        init(replays: Bool) { replay = Mutex(replays ? ReplayFilter() : nil) }

        /// What of a piece is shown on a terminal.
        func shown(_ bytes: [UInt8]) -> [UInt8] { replay.withLock { $0?.pass(bytes) ?? bytes } }
        /// What comes from now on is new.
        func endReplay() -> [UInt8] {
            replay.withLock { replay in
                defer { replay = nil }
                return replay?.rest() ?? []
            }
        }
    }

    /// Relays a program that `run` starts or connects to.
    func relay(_ run: @escaping Call) async throws -> End {
        let streams = try StandardStreams()
        guard terminal, interactive, Standard.isTerminal(STDIN_FILENO) else { return try await plain(streams, run) }
        let session = try TerminalSession(detachKeys, streams)
        do {
            let end = try await raw(session, run)
            switch end {
            case .left: session.end(undoing: true)
            // A program that was killed, perhaps with its machine, had no time to tidy up.
            case .program(let exit): session.end(undoing: exit?.signal == SIGKILL)
            case .gaveUp: session.end(undoing: false)
            }
            return end
        } catch {
            session.end(undoing: true)
            throw error
        }
    }

    /// With this process's terminal as the program's.
    private func raw(_ session: TerminalSession, _ run: @escaping Call) async throws -> End {
        let (control, feed) = AsyncStream<ExecInput>.makeStream(bufferingPolicy: .bufferingNewest(64))
        let progress = Progress(replays: replays)
        let source = ExecSource(standardInput: { try await session.read() }, control: control)
        return try await race { group in
            group.addTask {
                let exit = try await run(source) { piece in
                    progress.started.withLock { $0 = true }
                    switch piece {
                    case .stdout(let bytes): try await session.write(progress.shown(bytes))
                    case .stderr(let bytes): try await session.write(progress.shown(bytes), to: STDERR_FILENO)
                    case .caughtUp: try await session.write(progress.endReplay())
                    case .started, .exited: break
                    }
                }
                return End.program(exit)
            }
            group.addTask {
                try await session.hear()
                return nil
            }
            group.addTask {
                for await size in session.sizes { feed.yield(.resize(size)) }
                return nil
            }
            group.addTask {
                for await why in session.leaving {
                    let hasStarted = progress.started.withLock { $0 }
                    return hasStarted ? End.left(byKeys: why == .keys) : End.gaveUp
                }
                return nil
            }
        }
    }

    /// Without a terminal of this process, or with nothing typed into it.
    private func plain(_ streams: StandardStreams, _ run: @escaping Call) async throws -> End {
        let caught = SignalStream([SIGINT, SIGTERM, SIGHUP] + (terminal ? [SIGWINCH] : []))
        defer { caught.stop() }
        let (control, feed) = AsyncStream<ExecInput>.makeStream(bufferingPolicy: .bufferingNewest(64))
        let progress = Progress(replays: false)
        var source = ExecSource(control: control)
        if interactive { source.standardInput = { try await streams.read() } }
        let given = source
        return try await race { group in
            group.addTask {
                let exit = try await run(given) { piece in
                    progress.started.withLock { $0 = true }
                    switch piece {
                    case .stdout(let bytes): try await streams.write(STDOUT_FILENO, bytes)
                    case .stderr(let bytes): try await streams.write(STDERR_FILENO, bytes)
                    case .started, .caughtUp, .exited: break
                    }
                }
                return End.program(exit)
            }
            group.addTask {
                for await number in caught.signals {
                    if number == SIGWINCH {
                        if let size = TerminalWindow.size { feed.yield(.resize(size)) }
                        continue
                    }
                    guard progress.started.withLock({ $0 }) else { return End.gaveUp }
                    let times = progress.asked.withLock { asked in
                        asked += 1
                        return asked
                    }
                    if times > 1 || number == SIGHUP { return End.left(byKeys: false) }
                    feed.yield(.signal(number))
                }
                return nil
            }
        }
    }

    /// Runs tasks until the first that says how the relay ended.
    private func race(_ add: (inout ThrowingTaskGroup<End?, any Error>) -> Void) async throws -> End {
        try await withThrowingTaskGroup(of: End?.self) { group in
            add(&group)
            defer { group.cancelAll() }
            while let end = try await group.next() {
                if let end { return end }
            }
            return .left(byKeys: false)
        }
    }
}
