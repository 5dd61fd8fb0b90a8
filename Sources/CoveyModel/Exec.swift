/// The size of a terminal in characters.
package struct TerminalSize: Hashable, Codable, Sendable {
    /// Characters in a line.
    package var columns: Int
    /// Lines.
    package var rows: Int

    /// Makes a size.
    package init(columns: Int, rows: Int) {
        self.columns = columns
        self.rows = rows
    }
}

/// What a caller sends to a program in a guest.
package enum ExecInput: Hashable, Sendable {
    /// The next bytes of standard input.
    case standardInput([UInt8])
    /// The end of standard input.
    case end
    /// The terminal has another size.
    case resize(TerminalSize)
    /// A signal, by its number on Linux.
    case signal(Int32)
}

/// How a program ended.
package struct ExecExit: Hashable, Codable, Sendable {
    /// The exit code; 128 and the signal where one ended it.
    package var code: Int32
    /// The signal that ended it.
    package var signal: Int32?

    /// Makes an end.
    package init(code: Int32, signal: Int32? = nil) {
        self.code = code
        self.signal = signal
    }
}

/// What a program in a guest sends to its caller.
package enum ExecOutput: Hashable, Sendable {
    /// The program runs under this exec id.
    case started(String)
    /// The next bytes of standard output; all output of a program with a terminal.
    case stdout([UInt8])
    /// The next bytes of standard error.
    case stderr([UInt8])
    /// What was said before the caller connected has been told; only where it asked for what was said of late.
    case caughtUp
    /// It ended; nothing follows.
    case exited(ExecExit)
}

/// A program that Covey started in a guest.
package struct ExecRecord: Hashable, Codable, Sendable {
    /// The id of the machine's own program.
    package static let main = "main"

    /// Its id, unique within the machine.
    package var id: String
    /// The program and its arguments.
    package var arguments: [String]
    /// Whether it has not ended.
    package var running: Bool
    /// The exit code, once it has ended.
    package var exitCode: Int32?
    /// When it was started.
    package var startedAt: Timestamp?
    /// The user that it was started as; nil is the image's.
    package var user: String?
    /// Whether it has a terminal.
    package var terminal: Bool

    /// Makes a record.
    package init(
        id: String, arguments: [String], running: Bool, exitCode: Int32? = nil, startedAt: Timestamp? = nil,
        user: String? = nil, terminal: Bool = false
    ) {
        self.id = id
        self.arguments = arguments
        self.running = running
        self.exitCode = exitCode
        self.startedAt = startedAt
        self.user = user
        self.terminal = terminal
    }
}

/// Where a piece of a log came from.
package enum LogStream: String, Codable, Sendable, CaseIterable { case stdout, stderr, console }

/// A piece of a log.
package struct LogChunk: Hashable, Sendable {
    /// Where it came from.
    package var stream: LogStream
    /// The bytes.
    package var bytes: [UInt8]

    /// Makes a piece.
    package init(_ stream: LogStream, _ bytes: [UInt8]) {
        self.stream = stream
        self.bytes = bytes
    }
}

/// Something of ours on a host that no record accounts for; it is left alone until somebody purges it.
package struct Leak: Hashable, Codable, Sendable {
    /// Names it in a purge.
    package var id: String
    /// `process`, `cgroup`, `file`, `folder` or `record`.
    package var kind: String
    /// The path, pid or key.
    package var name: String
    /// Why it is left alone.
    package var reason: String

    /// Makes a leak.
    package init(id: String, kind: String, name: String, reason: String) {
        self.id = id
        self.kind = kind
        self.name = name
        self.reason = reason
    }
}

/// What a daemon says of itself.
package struct DaemonVersion: Hashable, Codable, Sendable {
    /// The semantic version.
    package var version: String
    /// The commit that it was built from; nil where the build did not know.
    package var commit: String?
    /// The instance of its root.
    package var instance: String
    /// The root folder, where one was given.
    package var root: String?

    /// Makes a version.
    package init(version: String, commit: String? = nil, instance: String, root: String? = nil) {
        self.version = version
        self.commit = commit
        self.instance = instance
        self.root = root
    }
}
