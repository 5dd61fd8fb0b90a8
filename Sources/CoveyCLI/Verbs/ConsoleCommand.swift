internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// `covey console`.
struct ConsoleCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "console", abstract: "Work at a machine's serial console.",
        discussion: """
            It needs nothing of the machine: it works while the machine boots, and without an agent in it. Any number of \
            clients look on, and one writes: who comes first, or takes it with --take. The escape key leaves.

            Without a terminal as standard input it prints what is there and what comes, and sends standard input.

            Example: covey console web
            """)

    @OptionGroup var global: GlobalOptions

    @Flag(name: .customLong("read-only"), help: "Look on.")
    var readOnly = false

    @Flag(help: "Write, in place of who does now.")
    var take = false

    @Option(help: "The key that leaves.")
    var escape = DetachKeys.escape

    @Option(help: "How much of what was said before comes first, such as 64K.")
    var recent: ByteCount?

    @Argument(help: "The machine.")
    var vm: String

    func validate() throws {
        if readOnly && take { throw ValidationError("--read-only goes without --take") }
    }

    func perform() async throws -> Int32 {
        let streams = try StandardStreams()
        return try await global.connect { client in
            // Says at once that there is no such machine, before the terminal is taken.
            let machine = try await client.machine(vm).metadata.name
            guard Standard.isTerminal(STDIN_FILENO) else { return try await plain(client, streams) }
            Standard.error("covey: the console of \(machine); \(escape.text) leaves it\n")
            let session = try TerminalSession(escape, streams)
            do {
                let code = try await raw(client, session)
                session.end(undoing: true)
                if code == nil { Standard.error("\ncovey: \(machine) has ended\n") } else { Standard.error("\n") }
                return code ?? 0
            } catch {
                session.end(undoing: true)
                throw error
            }
        }
    }

    /// `root at host (pid 12)`.
    private var who: String {
        let name = ProcessEnvironment["USER"] ?? ProcessEnvironment["LOGNAME"] ?? "uid \(getuid())"
        return "\(name) (process \(getpid()))"
    }

    /// What was said before, without what a terminal would answer.
    private final class Replay: Sendable {
        private let filter = Mutex<ReplayFilter?>(ReplayFilter())

        var isUnderWay: Bool { filter.withLock { $0 != nil } }
        func pass(_ bytes: [UInt8]) -> [UInt8] { filter.withLock { $0?.pass(bytes) ?? bytes } }
        func end() { filter.withLock { $0 = nil } }
    }

    /// Returns nil where the machine has ended.
    private func raw(_ client: CoveyClient, _ session: TerminalSession) async throws -> Int32? {
        let (typed, type) = AsyncStream<[UInt8]>.makeStream()
        let replay = Replay()
        return try await withThrowingTaskGroup(of: Int32??.self) { group in
            group.addTask {
                try await client.console(
                    vm, readOnly: readOnly, take: take, recent: recent?.bytes, who: who, input: typed
                ) { output in
                    switch output {
                    case .seat(let seat):
                        try await session.write(Array(told(seat, isFirst: replay.isUnderWay).utf8))
                    case .data(let bytes): try await session.write(replay.pass(bytes))
                    case .caughtUp: replay.end()
                    }
                }
                return .some(nil)
            }
            group.addTask {
                while true { type.yield(try await session.read()) }
            }
            group.addTask {
                try await session.hear()
                return nil
            }
            group.addTask {
                for await why in session.leaving { return .some(why == .keys ? 0 : ErrorCode.cancelled.exitCode) }
                return nil
            }
            defer {
                type.finish()
                group.cancelAll()
            }
            while let end = try await group.next() {
                if let end { return end }
            }
            return nil
        }
    }

    /// What is said of who writes; the first time only where it is not this client.
    private func told(_ seat: ConsoleSeat, isFirst: Bool) -> String {
        if seat.writes { return isFirst ? "" : "\r\ncovey: you write now\r\n" }
        if readOnly { return "" }
        guard let writer = seat.writer else {
            return "\r\ncovey: nobody writes now; covey console --take \(vm) does\r\n"
        }
        return "\r\ncovey: \(writer) writes; you look on (--take takes it over)\r\n"
    }

    /// Without a terminal.
    private func plain(_ client: CoveyClient, _ streams: StandardStreams) async throws -> Int32 {
        let (typed, type) = AsyncStream<[UInt8]>.makeStream()
        let caught = SignalStream([SIGINT, SIGTERM, SIGHUP])
        defer { caught.stop() }
        return try await withThrowingTaskGroup(of: Int32?.self) { group in
            group.addTask {
                try await client.console(
                    vm, readOnly: readOnly, take: take, recent: recent?.bytes, who: who, input: typed
                ) { output in
                    switch output {
                    case .seat(let seat):
                        if !seat.writes, !readOnly, let writer = seat.writer {
                            Standard.error("covey: \(writer) writes; you look on (--take takes it over)\n")
                        }
                    case .data(let bytes): try await streams.write(STDOUT_FILENO, bytes)
                    case .caughtUp: break
                    }
                }
                return 0
            }
            group.addTask {
                guard !readOnly else { return nil }
                while let bytes = try await streams.read() { type.yield(bytes) }
                return nil
            }
            group.addTask {
                for await _ in caught.signals { return ErrorCode.cancelled.exitCode }
                return nil
            }
            defer {
                type.finish()
                group.cancelAll()
            }
            while let end = try await group.next() {
                if let end { return end }
            }
            return 0
        }
    }
}
