import CoveyModel
import CoveySystem
import Glibc
import Subprocess

/// Runs a program to its end and returns what it printed. Errors: a failure, with its last words.
@discardableResult
func tool(_ words: String..., limit: Duration = .seconds(300)) async throws -> String {
    let line = words.map { "'\($0)'" }.joined(separator: " ")
    return try await shell(line, limit: limit)
}

/// Runs a line of shell to its end and returns what it printed. Errors: a failure, with its last words.
@discardableResult
func shell(_ line: String, limit: Duration = .seconds(300)) async throws -> String {
    try await withDeadline(limit, line) {
        let result = try await run(
            .name("bash"), arguments: ["-ceu", line], output: .string(limit: 16 << 20), error: .string(limit: 1 << 20))
        guard result.terminationStatus.isSuccess else {
            throw CoveyError(.failure, "\(line): \(result.standardError) \(result.standardOutput)")
        }
        return result.standardOutput
    }
}

/// A folder of one test, removed with all in it when the value ends.
final class Scratch: Sendable {
    let path: String

    init(_ name: String = "x") throws {
        path = "/tmp/cvy-oci-\(name)-\(getpid())-\(UInt32.random(in: .min ... .max))"
        try makeFolder(path, mode: 0o755)
    }

    deinit {
        // Nobody is left to tell.
        try? removeTree(path)
    }

    /// A folder in it.
    func folder(_ name: String) throws -> String {
        try makeFolder("\(path)/\(name)", mode: 0o755)
        return "\(path)/\(name)"
    }

    func write(_ name: String, _ text: String) throws -> String {
        try writeFileAtomically("\(path)/\(name)", Array(text.utf8), mode: 0o644)
        return "\(path)/\(name)"
    }
}

/// The failure of a body; nil where it succeeds.
func failure(_ body: () async throws -> Void) async -> CoveyError? {
    do {
        try await body()
        return nil
    } catch { return CoveyError.wrapping(error) }
}

/// The tree's files, and a tree's differences from another: content, owner, mode, times to the nanosecond, links,
/// devices, attributes. Empty where they are equal. rsync is the judge.
func differences(_ first: String, _ second: String) async throws -> String {
    try await shell(
        "rsync -n -aHAX --devices --specials --numeric-ids -c --modify-window=-1 --delete --itemize-changes "
            + "'\(first)/' '\(second)/'")
}
