import CoveyModel
import Glibc
import Subprocess
import Testing

/// How a command ended and what it printed.
struct Outcome: Sendable, CustomStringConvertible {
    /// The exit code; 128 and the signal where it was killed.
    var code: Int32
    /// Standard output.
    var bytes: [UInt8]
    /// Standard error.
    var error: String

    /// Standard output as text.
    var text: String { String(decoding: bytes, as: UTF8.self) }
    /// The lines of standard output.
    var lines: [String] { text.split(separator: "\n").map(String.init) }
    /// Whether it says what failed, and what to do about it.
    var isClearError: Bool {
        let lines = error.split(separator: "\n")
        return lines.contains { $0.hasPrefix("error: ") } && lines.contains { $0.hasPrefix("hint: ") }
    }
    /// The end for a failed expectation.
    var description: String { "exit \(code), \(bytes.count) bytes: \(text.suffix(400)) | \(error.suffix(800))" }
}

/// Runs a program to its end, with a deadline.
func runProgram(
    _ program: String, _ arguments: [String], environment: [String: String] = [:], input: [UInt8] = [],
    limit: Duration = .seconds(90)
) async throws -> Outcome {
    var changes: [Environment.Key: String?] = [:]
    for (name, value) in environment {
        if let key = Environment.Key(rawValue: name) { changes[key] = value }
    }
    var options = PlatformOptions()
    options.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: .seconds(3))]
    // env(1) takes the program by its path without searching, and becomes it.
    let configuration = Configuration(
        executable: .name("env"), arguments: Arguments([program] + arguments), environment: .inherit.updating(changes),
        platformOptions: options)
    return try await bounded(by: limit, "\(program) \(arguments.joined(separator: " "))") {
        let result = try await Subprocess.run(
            configuration, input: .array(input), output: .bytes(limit: 64 << 20), error: .string(limit: 4 << 20))
        let code: Int32 =
            switch result.terminationStatus {
            case .exited(let code): code
            case .signaled(let signal): 128 + signal
            }
        return Outcome(code: code, bytes: result.standardOutput, error: result.standardError)
    }
}

/// Cancels what has not ended after a time, and waits for it all the same: nothing goes on behind a test's back.
func bounded<T: Sendable>(
    by limit: Duration, _ what: String, _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
    try await withThrowingTaskGroup(of: T?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let result = first else {
            throw CoveyError(.deadline, "\(what) did not finish within \(limit)")
        }
        return result
    }
}

/// Waits until something holds that the host tells no event of.
func eventually(
    _ what: String, within limit: Duration = .seconds(30), _ holds: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !holds() {
        guard ContinuousClock.now < deadline else { throw CoveyError(.deadline, "not seen within \(limit): \(what)") }
        try await Task.sleep(for: .milliseconds(30))
    }
}

extension Tag {
    /// Boots real machines.
    @Tag static var machine: Self
}

/// What the gate has no time for runs where this is set.
enum Soak {
    static let isOn = getenv("COVEY_SOAK") != nil

    /// A number that a soak raises.
    static func count(_ gate: Int, soak: Int) -> Int { isOn ? soak : gate }
}
