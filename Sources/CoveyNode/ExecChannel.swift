package import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Synchronization

/// A program in a guest: its output is recorded in a journal, and any number of clients follow the journal.
///
/// Clients that are attached hold the program back when they are slow; those that only read logs do not.
package final class ExecChannel: Sendable {
    /// How far an attached client may lag behind before the program has to wait; less than the journal keeps.
    private static let slack: Int64 = 8 << 20

    private struct State {
        var stream: (any GuestExecStream)?
        var exit: Int32?
        var failure: CoveyError?
        var begun = false
        var recorded: Int64 = 0
        var attached: [UInt64: Int64] = [:]
        var followers: Set<UInt64> = []
        var nextFollower: UInt64 = 0
    }

    /// The program's id.
    package let id: String
    private let journal: Journal
    private let pool: BlockingPool
    private let clock: NodeClock
    private let state = Mutex(State())
    private let progress = Signal()
    private let consumption = Signal()

    init(id: String, journal: Journal, pool: BlockingPool, clock: NodeClock) {
        self.id = id
        self.journal = journal
        self.pool = pool
        self.clock = clock
    }

    /// Records a program until it has ended: through a stream that is attached from its first byte, or by attaching
    /// where the recording stopped. Returns its exit code.
    func record(_ session: any GuestSession, _ attached: (any GuestExecStream)? = nil) async throws -> Int32 {
        let (offsets, known) = try await pool.run { [journal] in try journal.resume() }
        if let known {
            state.withLock { $0.exit = known }
            progress.notify()
            return known
        }
        let stream: any GuestExecStream
        if let attached {
            stream = attached
        } else {
            stream = try await session.attach(
                id, from: [.standardOutput: UInt64(offsets.output), .standardError: UInt64(offsets.error)])
        }
        state.withLock { state in
            state.stream = stream
            state.begun = true
            state.failure = nil
        }
        progress.notify()
        defer { state.withLock { $0.stream = nil } }
        var ends: [GuestOutput: Int64] = [.standardOutput: offsets.output, .standardError: offsets.error]
        while let output = try await stream.next() {
            switch output {
            case .bytes(let which, let offset, let bytes):
                ends[which] = Int64(offset) + Int64(bytes.count)
                let content: JournalEntry.Content =
                    switch which {
                    case .standardOutput: .output(bytes)
                    case .standardError: .error(bytes)
                    }
                try await append(content, offset: Int64(offset))
                try await waitForFollowers()
            case .dropped(let which, let count):
                try await append(.lost(Int64(count)), offset: ends[which] ?? 0)
            case .ended(let exit):
                if case .notStarted(_, let message) = exit {
                    try await append(.error(Array("covey: \(message)\n".utf8)), offset: ends[.standardError] ?? 0)
                }
                try await finish(exit.code)
                return exit.code
            }
        }
        throw CoveyError(.unavailable, "the guest ended exec \(id) without its exit code")
    }

    /// Records an end that the guest could not tell any more.
    func finish(_ code: Int32) async throws {
        guard state.withLock({ $0.exit }) == nil else { return }
        try await append(.exit(code), offset: 0)
        state.withLock { $0.exit = code }
        progress.notify()
        let journal = journal
        try await pool.run { journal.close() }
    }

    /// Records that nobody can tell this program's end, unless it is known.
    func lose(_ why: String, code: Int32) async throws {
        let (offsets, known) = try await pool.run { [journal] in try journal.resume() }
        guard known == nil else { return }
        try await append(.error(Array("covey: \(why)\n".utf8)), offset: offsets.error)
        try await finish(code)
    }

    /// Whether somebody follows it.
    var isFollowed: Bool { state.withLock { !$0.followers.isEmpty } }

    /// Moves the recording, under those who follow it.
    func move(to path: String, isRemovedAtEnd: Bool) async throws {
        try await pool.run { [journal] in try journal.move(to: path, isRemovedAtEnd: isRemovedAtEnd) }
    }

    /// Whether it was ever attached to.
    package var hasBegun: Bool { state.withLock { $0.begun } }

    /// Says that the program will never run: who follows it gets the reason, unless it ran before.
    func abandon(_ reason: CoveyError) {
        state.withLock { $0.failure = reason }
        progress.notify()
    }

    /// Why the program will never run.
    fileprivate var failure: CoveyError? { state.withLock { $0.failure } }

    /// The exit code; nil while the program runs.
    package var exitCode: Int32? { state.withLock { $0.exit } }

    /// Writes to standard input, waiting while the program does not read.
    package func write(_ bytes: [UInt8]) async throws { try await stream().write(bytes) }

    /// Ends standard input.
    package func closeInput() async throws { try await stream().closeInput() }

    /// Changes the terminal's size.
    package func resize(_ size: GuestTerminalSize) async throws { try await stream().resize(size) }

    /// Sends a signal to the program's process group.
    package func signal(_ number: Int32) async throws { try await stream().signal(number) }

    /// Bytes of each output that were recorded so far.
    package func recorded() async throws -> Journal.Offsets {
        try await pool.run { [journal] in try journal.resume().offsets }
    }

    /// Follows what the program says.
    ///
    /// - Parameters:
    ///   - attached: Whether the program waits for this follower when it is slow.
    package func follow(attached: Bool) -> ExecFollower {
        let id = state.withLock { state in
            state.nextFollower += 1
            state.followers.insert(state.nextFollower)
            if attached { state.attached[state.nextFollower] = state.recorded }
            return state.nextFollower
        }
        return ExecFollower(channel: self, id: id, changes: progress.subscribe())
    }

    fileprivate func read(_ position: Journal.Position) async throws -> ([JournalEntry], Journal.Position) {
        try await pool.run { [journal] in try journal.read(from: position) }
    }

    fileprivate func consumed(_ follower: UInt64, bytes: Int64) {
        state.withLock { state in
            if let old = state.attached[follower] { state.attached[follower] = min(old + bytes, state.recorded) }
        }
        consumption.notify()
    }

    fileprivate func leave(_ follower: UInt64) {
        state.withLock { state in
            state.attached[follower] = nil
            state.followers.remove(follower)
        }
        consumption.notify()
    }

    /// The stream to the guest, waiting a moment for one that is being attached.
    private func stream() async throws -> any GuestExecStream {
        if let stream = state.withLock({ $0.stream }) { return stream }
        let changes = progress.subscribe()
        return try await withDeadline(.seconds(30), "reaching exec \(id) in its guest") { [self] in
            if let stream = state.withLock({ $0.stream }) { return stream }
            for await _ in changes {
                if let stream = state.withLock({ $0.stream }) { return stream }
                if state.withLock({ $0.exit != nil }) { break }
            }
            throw CoveyError(.conflict, "exec \(id) has ended")
        }
    }

    private func append(_ content: JournalEntry.Content, offset: Int64) async throws {
        let entry = JournalEntry(time: clock.now(), content: content, offset: offset)
        while true {
            do {
                try await pool.run { [journal] in try journal.append(entry) }
                break
            } catch let error as CoveyError where error.code == .exhausted {
                // On a full disk the program waits until there is room again: nothing of it is lost.
                try await clock.sleep(.seconds(1))
            }
        }
        state.withLock { $0.recorded += entry.size }
        progress.notify()
    }

    private func waitForFollowers() async throws {
        guard isAhead else { return }
        for await _ in consumption.subscribe() where !isAhead { return }
        try Task.checkCancellation()
    }

    private var isAhead: Bool {
        state.withLock { state in state.attached.values.contains { state.recorded - $0 > ExecChannel.slack } }
    }
}

extension JournalEntry {
    /// The bytes that count for flow control.
    fileprivate var size: Int64 {
        switch content {
        case .output(let bytes), .error(let bytes): Int64(bytes.count)
        case .lost, .exit: 0
        }
    }
}

/// A reader of an ``ExecChannel``. One task reads.
package final class ExecFollower: Sendable {
    private let channel: ExecChannel
    private let id: UInt64
    private let changes: AsyncStream<Void>
    private let state = Mutex((position: Journal.Position.start, done: false))

    fileprivate init(channel: ExecChannel, id: UInt64, changes: AsyncStream<Void>) {
        self.channel = channel
        self.id = id
        self.changes = changes
    }

    deinit { channel.leave(id) }

    /// What was said since the last call, waiting for more. Nil after the exit code.
    package func next() async throws -> [JournalEntry]? {
        if state.withLock({ $0.done }) { return nil }
        var iterator = changes.makeAsyncIterator()
        while true {
            let failure = channel.failure
            if let entries = try await available() { return entries }
            if let failure { throw failure }
            guard await iterator.next() != nil else { throw CancellationError() }
        }
    }

    /// What was said since the last call, without waiting; nil where there is nothing new.
    package func available() async throws -> [JournalEntry]? {
        let (entries, position) = try await channel.read(state.withLock { $0.position })
        guard !entries.isEmpty else { return nil }
        let ended = entries.contains { if case .exit = $0.content { true } else { false } }
        state.withLock { $0 = (position, ended) }
        channel.consumed(id, bytes: entries.reduce(0) { $0 + $1.size })
        return entries
    }
}
