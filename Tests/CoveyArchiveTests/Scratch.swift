import CoveyArchive
import CoveyModel
import CoveySystem
import Glibc
import Subprocess
import Testing

/// A folder of its own, removed with its owner.
final class Scratch: Sendable {
    let path: String

    init() throws {
        path = "/tmp/covey-archive-\(UInt64.random(in: .min ... .max))"
        try makeFolder(path)
    }

    deinit {
        do { try removeTree(path) } catch { Issue.record("\(path) stays: \(error)") }
    }

    func file(_ name: String, _ text: String, mode: UInt32 = 0o644) throws {
        try makeFolder(parentFolder("\(path)/\(name)"), mode: 0o755)
        try writeFileAtomically("\(path)/\(name)", Array(text.utf8), mode: mode)
    }

    func text(_ name: String) throws -> String { String(decoding: try readFile("\(path)/\(name)"), as: UTF8.self) }

    func folder(_ name: String) throws { try makeFolder("\(path)/\(name)", mode: 0o755) }
}

/// Packs a path into a file.
func pack(_ source: String, into archive: String, _ options: Packer.Options = .init()) throws {
    let file = try openFile(archive, [.writeOnly, .create, .truncate])
    try Packer(options, to: file.raw).pack(source)
}

/// Unpacks a file. Returns what was left out.
@discardableResult
func unpack(_ archive: String, to destination: String, _ options: Unpacker.Options = .init()) throws -> [String] {
    let file = try openFile(archive, .readOnly)
    let unpacker = Unpacker(options, from: file.raw)
    var notes: [String] = []
    unpacker.onNote = { notes.append($0) }
    try unpacker.unpack(to: destination)
    return notes
}

/// Writes an archive of these entries with their data.
func archive(_ entries: [(TarEntry, [UInt8])], into path: String, cut: Bool = false) throws {
    let file = try openFile(path, [.writeOnly, .create, .truncate])
    for (entry, data) in entries {
        try writeAll(file.raw, TarHeader.bytes(entry) + data)
        try writeAll(file.raw, [UInt8](repeating: 0, count: TarHeader.padding(after: Int64(data.count))))
    }
    if !cut { try writeAll(file.raw, TarHeader.end) }
}

/// Runs a tool of the host. Returns what it printed.
@discardableResult
func tool(_ name: String, _ arguments: String...) async throws -> String {
    let result = try await run(
        .name(name), arguments: Arguments(arguments), output: .string(limit: 1 << 20), error: .string(limit: 65536))
    guard case .exited(0) = result.terminationStatus else {
        throw CoveyError(.failure, "\(name) failed: \(result.standardError)")
    }
    return result.standardOutput
}

/// A symbolic link.
func link(_ path: String, to target: String) throws {
    try check("symlink", path) { symlink(target, path) }
}
