internal import CoveySystem
internal import Glibc
internal import Synchronization

/// The thread that moves bytes from pipes into logs: a disk that stalls holds up logs, never the guard.
final class ConsoleDrain: Sendable {
    /// What has happened since the last look.
    struct Progress: Sendable {
        /// Pipes that are drained, closed and removed.
        var finished: [String] = []
        /// Set once after ``ConsoleDrain/pause()``: the open pipes' descriptors by path, untouched until resumed.
        var paused: [String: Int32]?
    }

    fileprivate enum Command: Sendable {
        case add(Outlet, descriptor: Int32, beginsAnew: Bool)
        case finish(String)
        case pause
        case resume
    }

    private struct State {
        var commands: [Command] = []
        var progress = Progress()
        var waker: EventLoop.Waker?
    }

    private let state = Mutex(State())
    private let owner: EventLoop.Waker

    /// Starts the thread; `owner` is woken at each progress.
    init(owner: EventLoop.Waker) {
        self.owner = owner
        startThread(named: "covey-consoles") { self.run() }
    }

    /// Drains a pipe from now on and owns its reading end, which has to be non-blocking.
    func add(_ outlet: Outlet, descriptor: Int32, beginsAnew: Bool) {
        send(.add(outlet, descriptor: descriptor, beginsAnew: beginsAnew))
    }

    /// Takes what a pipe still holds, closes and removes it, and reports it as finished.
    func finish(_ fifo: String) { send(.finish(fifo)) }

    /// Stops reading, and reports the pipes' descriptors.
    func pause() { send(.pause) }

    /// Goes on after ``pause()``.
    func resume() { send(.resume) }

    /// What has happened since the last call.
    func takeProgress() -> Progress {
        state.withLock { state in
            defer { state.progress = Progress() }
            return state.progress
        }
    }

    private func send(_ command: Command) {
        let waker = state.withLock { state in
            state.commands.append(command)
            return state.waker
        }
        waker?.wake()
    }

    fileprivate func report(_ change: (inout Progress) -> Void) {
        state.withLock { change(&$0.progress) }
        owner.wake()
    }

    fileprivate func takeCommands() -> [Command] {
        state.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
    }

    private func run() {
        do throws(SystemError) {
            let loop = try EventLoop()
            let worker = DrainWorker(loop, self)
            loop.onWake = { worker.obey() }
            let waker = loop.waker
            state.withLock { $0.waker = waker }
            loop.post { worker.obey() }
            try loop.run()
        } catch {
            // Without this thread machines would stall on full pipes: a new guard can do better.
            note("console thread failed: \(error)")
            _exit(1)
        }
    }
}

/// The part that lives on the thread.
private final class DrainWorker {
    private final class Source {
        let descriptor: FileDescriptor
        let outlet: Outlet
        let log: LogFile
        var isAtEnd = false

        init(_ descriptor: consuming FileDescriptor, _ outlet: Outlet, beginsAnew: Bool) {
            self.descriptor = descriptor
            self.outlet = outlet
            log = LogFile(outlet, beginsAnew: beginsAnew)
        }
    }

    private static let chunk = 64 << 10
    /// What is read of a pipe that others keep filling after its process has ended.
    private static let mostAfterEnd = 1 << 20

    private let loop: EventLoop
    private unowned let drain: ConsoleDrain
    private var sources: [String: Source] = [:]
    private var isPaused = false

    init(_ loop: EventLoop, _ drain: ConsoleDrain) {
        self.loop = loop
        self.drain = drain
    }

    func obey() {
        for command in drain.takeCommands() {
            switch command {
            case .add(let outlet, let descriptor, let beginsAnew):
                let source = Source(FileDescriptor(owning: descriptor), outlet, beginsAnew: beginsAnew)
                source.log.prepare()
                sources[outlet.fifo] = source
                if !isPaused { watch(source) }
            case .finish(let fifo): finish(fifo)
            case .pause:
                isPaused = true
                for source in sources.values { loop.remove(source.descriptor.raw) }
                let descriptors = sources.mapValues { $0.descriptor.raw }
                drain.report { $0.paused = descriptors }
            case .resume:
                guard isPaused else { continue }
                isPaused = false
                for source in sources.values where !source.isAtEnd { watch(source) }
            }
        }
    }

    private func watch(_ source: Source) {
        do throws(SystemError) {
            try loop.add(source.descriptor.raw, .readable) { [unowned self, unowned source] _ in
                move(source, most: Self.chunk)
            }
        } catch { note("\(source.outlet.fifo) is not drained: \(error)") }
    }

    /// Moves bytes until the pipe is empty or `most` were read.
    private func move(_ source: Source, most: Int) {
        var left = most
        while left > 0 && !source.isAtEnd {
            do throws(SystemError) {
                guard let bytes = try readSome(source.descriptor.raw, limit: Self.chunk) else { return }
                if bytes.isEmpty { break }
                source.log.write(bytes)
                left -= bytes.count
                continue
            } catch { note("\(source.outlet.fifo): \(error)") }
            break
        }
        guard left > 0 else { return }
        // All writers are gone, and nobody else can open it.
        source.isAtEnd = true
        loop.remove(source.descriptor.raw)
    }

    private func finish(_ fifo: String) {
        if let source = sources[fifo] {
            move(source, most: Self.mostAfterEnd)
            loop.remove(source.descriptor.raw)
            sources[fifo] = nil
        }
        do throws(SystemError) { try removeFile(fifo) } catch { note("\(error)") }
        drain.report { $0.finished.append(fifo) }
    }
}

/// Says something on standard error.
func note(_ text: String) {
    let line = Array("covey-guard: \(text)\n".utf8)
    // Nobody can be told where this fails.
    _ = try? writeSome(2, line[...])
}
