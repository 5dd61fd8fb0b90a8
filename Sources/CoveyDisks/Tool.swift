internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Subprocess
internal import Synchronization

/// A program of the host that is run to its end: in a session of its own, with a deadline and bounded output.
struct Tool: Sendable {
    /// What a tool printed.
    struct Output: Sendable {
        /// Standard output.
        var text: String
        /// The last lines of standard error, oldest first.
        var errorLines: [String]
    }

    /// The program's name; it is looked for in the system's folders.
    let name: String
    /// The Debian package that holds it.
    let package: String

    private static let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    private static let keptLines = 12
    private static let inherited = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy", "TMPDIR"]

    static let aptCache = Tool(name: "apt-cache", package: "apt")
    static let aptGet = Tool(name: "apt-get", package: "apt")
    static let debugfs = Tool(name: "debugfs", package: "e2fsprogs")
    static let depmod = Tool(name: "depmod", package: "kmod")
    static let mke2fs = Tool(name: "mke2fs", package: "e2fsprogs")
    static let mmdebstrap = Tool(name: "mmdebstrap", package: "mmdebstrap")
    static let unshare = Tool(name: "unshare", package: "util-linux")

    /// The program's path. Errors: ``ErrorCode/unavailable`` where it is not installed.
    func path() throws(CoveyError) -> String {
        for folder in Tool.folders where access("\(folder)/\(name)", X_OK) == 0 { return "\(folder)/\(name)" }
        throw CoveyError(
            .unavailable, "\(name) is not installed", remedy: "run: apt-get install \(package)", retryable: false)
    }

    /// Runs the tool.
    ///
    /// At the deadline, on cancellation and when it prints too much, its whole process group gets SIGTERM, and
    /// SIGKILL three seconds later. Whatever is left of the group when the tool has ended gets SIGKILL too.
    ///
    /// - Parameters:
    ///   - arguments: What follows the program's name.
    ///   - folder: Where it starts; nil is this process's folder.
    ///   - environment: Additional environment; of ours it sees the proxies only.
    ///   - limit: The deadline.
    ///   - outputLimit: The most bytes of standard output.
    ///   - onLine: Called with each line of standard error and standard output, for progress.
    /// - Throws: ``ErrorCode/unavailable`` where it is not installed, ``ErrorCode/deadline``,
    ///   ``ErrorCode/failure`` with its last lines where it fails.
    @discardableResult
    func run(
        _ arguments: [String], in folder: String? = nil, environment: [String: String] = [:], limit: Duration,
        outputLimit: Int = 4 << 20, onLine: (@Sendable (String) -> Void)? = nil
    ) async throws -> Output {
        let program = try path()
        var variables: [Environment.Key: String] = [
            "PATH": Tool.folders.joined(separator: ":"), "LC_ALL": "C.UTF-8", "HOME": "/root",
            "DEBIAN_FRONTEND": "noninteractive",
        ]
        for name in Tool.inherited {
            for spelling in [name, name.uppercased()] {
                guard let value = getenv(spelling), let key = Environment.Key(rawValue: spelling) else { continue }
                variables[key] = String(cString: value)
            }
        }
        for (name, value) in environment {
            guard let key = Environment.Key(rawValue: name) else { continue }
            variables[key] = value
        }
        var options = PlatformOptions()
        options.createSession = true
        options.teardownSequence = [.gracefulShutDown(toProcessGroup: true, allowedDurationToNextStep: .seconds(3))]
        // env(1) changes the folder: subprocess wants a FilePath for that.
        let call = folder.map { ["--chdir=\($0)", program] + arguments } ?? arguments
        let configuration = Configuration(
            executable: .name(folder == nil ? name : "env"), arguments: Arguments(call),
            environment: .custom(variables), platformOptions: options)
        let (result, output) = try await Tool.bounded(by: limit, name) {
            try await Tool.execute(configuration, name: name, outputLimit: outputLimit, onLine: onLine)
        }
        guard result.isSuccess else {
            throw CoveyError(
                .failure, "\(name) failed with \(result.text)",
                cause: ToolMessage(description: output.errorLines.joined(separator: "; ")))
        }
        return output
    }

    private static func bounded<T: Sendable>(
        by limit: Duration, _ name: String, _ body: @escaping @Sendable () async throws -> T
    ) async throws -> T {
        // Not withDeadline: it abandons what it cancels, and here the caller removes the tool's files next.
        try await withThrowingTaskGroup(of: T?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                // The deadline itself: the tool's end cancels it.
                try await Task.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            guard let first = try await group.next(), let result = first else {
                throw CoveyError(.deadline, "\(name) did not finish within \(limit.text)")
            }
            return result
        }
    }

    private static func execute(
        _ configuration: Configuration, name: String, outputLimit: Int, onLine: (@Sendable (String) -> Void)?
    ) async throws -> (TerminationStatus, Output) {
        let group = ProcessGroup()
        let outcome: (TerminationStatus, Output)
        do {
            outcome = try await execute(configuration, group, name: name, outputLimit: outputLimit, onLine: onLine)
        } catch {
            try await group.end()
            throw error
        }
        try await group.end()
        try Task.checkCancellation()
        return outcome
    }

    private static func execute(
        _ configuration: Configuration, _ group: ProcessGroup, name: String, outputLimit: Int,
        onLine: (@Sendable (String) -> Void)?
    ) async throws -> (TerminationStatus, Output) {
        let result = try await Subprocess.run(configuration, input: .none, output: .sequence, error: .sequence) {
            execution in
            group.leader.store(execution.processIdentifier.value, ordering: .relaxed)
            do {
                async let errors = lastLines(execution.standardError, onLine)
                let text = try await collect(execution.standardOutput, name, outputLimit, onLine)
                return Output(text: text, errorLines: try await errors)
            } catch {
                await execution.teardown(using: configuration.platformOptions.teardownSequence)
                throw error
            }
        }
        return (result.terminationStatus, result.closureResult)
    }

    private static func collect(
        _ stream: SubprocessOutputSequence, _ name: String, _ limit: Int, _ onLine: (@Sendable (String) -> Void)?
    ) async throws -> String {
        var bytes: [UInt8] = []
        var lineStart = 0
        for try await part in stream {
            part.withUnsafeBytes { bytes += $0 }
            guard bytes.count <= limit else {
                throw CoveyError(.failure, "\(name) printed more than \(ByteCount(Int64(limit)).rounded)")
            }
            guard let onLine else { continue }
            while let end = bytes[lineStart...].firstIndex(of: UInt8(ascii: "\n")) {
                onLine(String(decoding: bytes[lineStart..<end], as: UTF8.self))
                lineStart = end + 1
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func lastLines(
        _ stream: SubprocessOutputSequence, _ onLine: (@Sendable (String) -> Void)?
    ) async throws -> [String] {
        var lines: [String] = []
        var rest: [UInt8] = []
        func take(_ bytes: ArraySlice<UInt8>) {
            let line = String(decoding: bytes.prefix(400), as: UTF8.self)
            guard line.contains(where: { !$0.isWhitespace }) else { return }
            onLine?(line)
            lines.append(line)
            if lines.count > keptLines { lines.removeFirst() }
        }
        for try await part in stream {
            part.withUnsafeBytes { rest += $0 }
            while let end = rest.firstIndex(where: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) {
                take(rest[..<end])
                rest.removeFirst(end + 1)
            }
            if rest.count > 65536 { rest.removeFirst(rest.count - 400) }
        }
        take(rest[...])
        return lines
    }
}

/// The process group of a tool that has ended.
private final class ProcessGroup: Sendable {
    /// Its leader's pid; 0 before there is one.
    let leader = Atomic<Int32>(0)

    /// Kills what is left of the group, and waits up to a second until it is gone.
    func end() async throws {
        let leader = leader.load(ordering: .relaxed)
        guard leader > 0, kill(-leader, SIGKILL) == 0 else { return }
        try await BlockingPool("covey-tools").run { @Sendable () throws in
            // A group that is not ours to wait for has no event; the thread is the blocking pool's.
            for _ in 0..<100 where kill(-leader, 0) == 0 { usleep(10_000) }
        }
    }
}

/// What a tool said, as the cause of an error.
struct ToolMessage: Error, CustomStringConvertible {
    let description: String
}

extension TerminationStatus {
    /// `exit code 1`, `signal 9`.
    fileprivate var text: String {
        switch self {
        case .exited(let code): "exit code \(code)"
        case .signaled(let signal): "signal \(signal)"
        }
    }
}
