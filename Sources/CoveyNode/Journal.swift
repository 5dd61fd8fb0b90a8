package import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// One thing that a program said, or its end.
package struct JournalEntry: Hashable, Sendable {
    /// What is recorded.
    package enum Content: Hashable, Sendable {
        /// Bytes of standard output.
        case output([UInt8])
        /// Bytes of standard error.
        case error([UInt8])
        /// So many bytes of a stream were lost in the guest.
        case lost(Int64)
        /// The program's end: 0-255, or 128 and the signal.
        case exit(Int32)
    }

    /// When it came.
    package var time: Timestamp
    /// What was said.
    package var content: Content
    /// The stream's bytes before it.
    package var offset: Int64

    /// Makes an entry.
    package init(time: Timestamp, content: Content, offset: Int64) {
        self.time = time
        self.content = content
        self.offset = offset
    }
}

/// A program's output on disk, bounded: segments of framed entries, the oldest dropped first.
///
/// Entries are appended whole; one that a crash cut off is ignored when read. Calls block on the disk:
/// run them on a ``BlockingPool``.
package final class Journal: Sendable {
    /// Where a reader is.
    package struct Position: Hashable, Sendable {
        fileprivate var segment: Int
        fileprivate var byte: Int
        /// Before the first entry.
        package static let start = Position(segment: 0, byte: 0)
    }

    /// How many bytes of each stream were recorded or lost before the end of the journal.
    package struct Offsets: Hashable, Sendable {
        /// Of standard output.
        package var output: Int64 = 0
        /// Of standard error.
        package var error: Int64 = 0
    }

    fileprivate struct State {
        var folder: String
        var isRemovedAtEnd = false
        var file: Int32?
        var offsets = Offsets()
        var exit: Int32?
        var segment = 0
        var size = 0
        var broken = false
    }

    private let segmentSize: Int
    private let segmentCount: Int
    private let state: Mutex<State>

    /// A journal in a folder of its own, made at the first entry.
    package init(folder: String, segmentSize: Int = 4 << 20, segmentCount: Int = 4) {
        state = Mutex(State(folder: folder))
        self.segmentSize = segmentSize
        self.segmentCount = segmentCount
    }

    deinit {
        let folder = state.withLock { state -> String? in
            if let file = state.file { _ = Glibc.close(file) }
            return state.isRemovedAtEnd ? state.folder : nil
        }
        guard let folder else { return }
        // What cannot be removed now is found by the next daemon's start.
        startThread(named: "covey-journal") { do { try removeTree(folder) } catch {} }
    }

    private var folder: String { state.withLock { $0.folder } }

    /// Moves the journal, under those who read it.
    ///
    /// - Parameter isRemovedAtEnd: Whether it is removed when the last of its readers is done.
    package func move(to path: String, isRemovedAtEnd: Bool) throws {
        try state.withLock { state throws in
            if let file = state.file { _ = Glibc.close(file) }
            state.file = nil
            guard fileExists(state.folder) else { return }
            try check("rename", state.folder) { rename(state.folder, path) }
            state.folder = path
            state.isRemovedAtEnd = isRemovedAtEnd
        }
    }

    /// What is recorded: the program's arguments and when it was started.
    package struct Subject: Hashable, Sendable {
        /// The program and its arguments.
        package var arguments: [String]
        /// When it was started.
        package var startedAt: Timestamp
        /// The user that it was started as; nil is the image's.
        package var user: String?
        /// Whether it has a terminal.
        package var terminal = false
    }

    /// Notes what is recorded.
    package func describe(_ subject: Subject) throws {
        try makeFolder(folder)
        // Before the first program's name: the time, and what else is known, which older records lack.
        let terminal = subject.terminal ? ",tty" : ""
        let user = subject.user.map { ",user=\($0)" } ?? ""
        let words = ["\(subject.startedAt.milliseconds)\(terminal)\(user)"] + subject.arguments
        let file = try openFile("\(folder)/subject", [.writeOnly, .create, .truncate])
        try writeAll(file.raw, Array(words.joined(separator: "\0").utf8))
    }

    /// What is recorded; nil where nobody noted it.
    package func subject() throws -> Subject? {
        guard fileExists("\(folder)/subject") else { return nil }
        let text = String(decoding: try readFile("\(folder)/subject", limit: 1 << 20), as: UTF8.self)
        let words = text.split(separator: "\0", omittingEmptySubsequences: false).map { String($0) }
        let facts = words.first?.split(separator: ",").map { String($0) } ?? []
        guard let time = facts.first.flatMap({ Int64($0) }) else { return nil }
        let user = facts.first { $0.hasPrefix("user=") }.map { String($0.dropFirst(5)) }
        return Subject(
            arguments: Array(words.dropFirst()), startedAt: Timestamp(milliseconds: time), user: user,
            terminal: facts.contains("tty"))
    }

    /// Whether anything was ever recorded.
    package var exists: Bool { fileExists(folder) }

    /// Appends an entry. Errors: ``ErrorCode/exhausted`` on a full disk; what was cut off is taken back.
    package func append(_ entry: JournalEntry) throws {
        try state.withLock { state throws in
            if state.file == nil { try open(&state) }
            if state.size >= segmentSize { try rotate(&state) }
            guard let file = state.file else { return }
            let bytes = Journal.encode(entry)
            do {
                try writeAll(file, bytes)
                state.size += bytes.count
                state.note(entry)
            } catch let error as SystemError {
                _ = ftruncate(file, off_t(state.size))
                throw error.coveyError.with(context: "record output")
            }
        }
    }

    /// Where a recording that was interrupted goes on, and the exit code where it is complete.
    package func resume() throws -> (offsets: Offsets, exit: Int32?) {
        guard exists else { return (Offsets(), nil) }
        return try state.withLock { state throws in
            if state.file == nil { try open(&state) }
            return (state.offsets, state.exit)
        }
    }

    /// The exit code where the recording is complete, read without opening it for more.
    package func ending() throws -> Int32? {
        if let known = state.withLock({ $0.exit }) { return known }
        guard let last = try Journal.segments(folder).last else { return nil }
        var position = Position(segment: last, byte: 0)
        var exit: Int32?
        while true {
            let (entries, next) = try read(from: position)
            if entries.isEmpty { return exit }
            for case .exit(let code) in entries.map(\.content) { exit = code }
            position = next
        }
    }

    /// The entries from a position on, at most about `limit` bytes, and the position after them.
    package func read(from position: Position, limit: Int = 256 << 10) throws -> ([JournalEntry], Position) {
        var position = position
        let segments = try Journal.segments(folder)
        guard let first = segments.first else { return ([], position) }
        if position.segment < first { position = Position(segment: first, byte: 0) }
        var entries: [JournalEntry] = []
        var taken = 0
        for segment in segments where segment >= position.segment {
            if segment > position.segment { position = Position(segment: segment, byte: 0) }
            let file = try openFile("\(folder)/\(segment)", .readOnly)
            while taken < limit {
                try check("lseek") { lseek(file.raw, off_t(position.byte), SEEK_SET) }
                guard let bytes = try readSome(file.raw, limit: 128 << 10), !bytes.isEmpty else { break }
                var used = 0
                while let (entry, length) = Journal.decode(bytes[used...]) {
                    entries.append(entry)
                    used += length
                }
                if used == 0 { break }
                position.byte += used
                taken += used
            }
            if taken >= limit { break }
        }
        return (entries, position)
    }

    /// Closes the file; the next entry opens it again.
    package func close() {
        state.withLock { state in
            if let file = state.file { _ = Glibc.close(file) }
            state.file = nil
        }
    }

    private func open(_ state: inout State) throws {
        try makeFolder(state.folder)
        state.segment = try Journal.segments(state.folder).last ?? 1
        let file = try openFile("\(state.folder)/\(state.segment)", [.readWrite, .create, .append])
        // A crash may have cut the last entry off: cut there, so that what follows can be read.
        let bytes = try readFile("\(state.folder)/\(state.segment)")
        var whole = 0
        while let (entry, length) = Journal.decode(bytes[whole...]) {
            whole += length
            state.note(entry)
        }
        if whole < bytes.count { try check("ftruncate", state.folder) { ftruncate(file.raw, off_t(whole)) } }
        state.size = whole
        state.file = file.release()
    }

    private func rotate(_ state: inout State) throws {
        let next = try openFile("\(state.folder)/\(state.segment + 1)", [.readWrite, .create, .append])
        if let file = state.file { _ = Glibc.close(file) }
        state.file = next.release()
        state.segment += 1
        state.size = 0
        // A segment begins with the offsets, so that the last one alone says where to go on.
        let now = Timestamp(milliseconds: 0)
        for entry in [
            JournalEntry(time: now, content: .output([]), offset: state.offsets.output),
            JournalEntry(time: now, content: .error([]), offset: state.offsets.error),
        ] {
            let bytes = Journal.encode(entry)
            if let file = state.file { try writeAll(file, bytes) }
            state.size += bytes.count
        }
        for old in try Journal.segments(state.folder) where old <= state.segment - segmentCount {
            try removeFile("\(state.folder)/\(old)")
        }
    }

    private static func segments(_ folder: String) throws(SystemError) -> [Int] {
        guard fileExists(folder) else { return [] }
        return try listFolder(folder).compactMap { Int($0) }.sorted()
    }

    // An entry: length of what follows (4), kind (1), time (8), offset (8), content; all little-endian.
    private static func encode(_ entry: JournalEntry) -> [UInt8] {
        let kind: UInt8
        let content: [UInt8]
        switch entry.content {
        case .output(let bytes): (kind, content) = (1, bytes)
        case .error(let bytes): (kind, content) = (2, bytes)
        case .lost(let count): (kind, content) = (3, littleEndian(count))
        case .exit(let code): (kind, content) = (4, littleEndian(Int64(code)))
        }
        let body = [kind] + littleEndian(entry.time.milliseconds) + littleEndian(entry.offset) + content
        return Array(littleEndian(Int64(body.count)).prefix(4)) + body
    }

    private static func decode(_ bytes: ArraySlice<UInt8>) -> (JournalEntry, Int)? {
        guard bytes.count >= 4 else { return nil }
        let length = Int(integer(bytes.prefix(4)))
        guard length >= 17, length <= 16 << 20, bytes.count >= 4 + length else { return nil }
        let body = bytes.dropFirst(4).prefix(length)
        let time = Timestamp(milliseconds: integer(body.dropFirst(1).prefix(8)))
        let offset = integer(body.dropFirst(9).prefix(8))
        let rest = body.dropFirst(17)
        let content: JournalEntry.Content
        switch body.first {
        case 1: content = .output(Array(rest))
        case 2: content = .error(Array(rest))
        case 3: content = .lost(integer(rest.prefix(8)))
        case 4: content = .exit(Int32(truncatingIfNeeded: integer(rest.prefix(8))))
        case _: return nil
        }
        return (JournalEntry(time: time, content: content, offset: offset), 4 + length)
    }

    private static func littleEndian(_ value: Int64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    private static func integer(_ bytes: ArraySlice<UInt8>) -> Int64 {
        bytes.reversed().reduce(0) { $0 << 8 | Int64($1) }
    }
}

extension Journal.State {
    /// Follows what an entry says of offsets and end.
    fileprivate mutating func note(_ entry: JournalEntry) {
        switch entry.content {
        case .output(let bytes): offsets.output = entry.offset + Int64(bytes.count)
        case .error(let bytes): offsets.error = entry.offset + Int64(bytes.count)
        case .lost: break
        case .exit(let code): exit = code
        }
    }
}
