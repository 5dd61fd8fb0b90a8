internal import CoveyModel
internal import CoveySystem

/// Looks into a root file system that is not mounted.
protocol RootReading: Sendable {
    /// The entries of a folder by name; empty where there is no such folder. `path` holds no links.
    func entries(of path: String) async throws -> [String: RootEntry]
    /// Where a link points to; nil where that cannot be read.
    func target(of link: String) async throws -> String?
    /// A short text file's content.
    func text(of path: String) async throws -> String
}

/// What lies at a path of a root file system.
struct RootEntry: Hashable, Sendable {
    enum Kind: Sendable { case file, folder, link, other }

    var kind: Kind
    /// The permission bits.
    var mode: UInt32
    /// The length in bytes.
    var size: Int64
}

extension RootReading {
    /// What lies at an absolute path after all links within the root, and where; nil where there is nothing.
    func resolve(_ path: String) async throws -> (path: String, entry: RootEntry)? {
        var rest = Array(path.split(separator: "/").map { String($0) }.reversed())
        var done: [String] = []
        var entry = RootEntry(kind: .folder, mode: 0o755, size: 0)
        var links = 0
        while let name = rest.popLast() {
            if name == "." { continue }
            if name == ".." {
                _ = done.popLast()
                continue
            }
            guard let found = try await entries(of: "/" + done.joined(separator: "/"))[name] else { return nil }
            let here = "/" + (done + [name]).joined(separator: "/")
            switch found.kind {
            case .link:
                links += 1
                guard links <= 16, let target = try await target(of: here) else { return nil }
                if target.hasPrefix("/") { done = [] }
                rest += target.split(separator: "/").map { String($0) }.reversed()
            case .folder, .file, .other:
                guard found.kind == .folder || rest.isEmpty else { return nil }
                done.append(name)
                entry = found
            }
        }
        return ("/" + done.joined(separator: "/"), entry)
    }

    /// Whether a program lies at an absolute path.
    func isProgram(_ path: String) async throws -> Bool {
        guard let found = try await resolve(path)?.entry else { return false }
        return found.kind == .file && found.mode & 0o111 != 0
    }
}

/// Looks into an ext4 file with debugfs, which runs confined.
actor Ext4Reader: RootReading {
    private let file: String
    private let pool: BlockingPool
    private var known: [String: [String: RootEntry]] = [:]

    init(_ file: String, pool: BlockingPool) {
        self.file = file
        self.pool = pool
    }

    func entries(of path: String) async throws -> [String: RootEntry] {
        if let known = known[path] { return known }
        guard Ext4Reader.isPlain(path) else { return [:] }
        let entries = Ext4Reader.entries(in: try await ask("ls -p \(path)"))
        known[path] = entries
        return entries
    }

    func target(of link: String) async throws -> String? {
        // A short target lies in the inode itself, where long ones have their block numbers.
        guard Ext4Reader.isPlain(link), let entry = try await entries(of: parentFolder(link))[lastName(link)],
            entry.size < 60
        else { return nil }
        return Ext4Reader.target(in: try await ask("inode_dump -b \(link)"), length: Int(entry.size))
    }

    func text(of path: String) async throws -> String {
        guard Ext4Reader.isPlain(path) else { return "" }
        return try await ask("cat \(path)")
    }

    private func ask(_ request: String) async throws -> String {
        try await Tool.debugfs.runConfined(
            ["-R", request, Tool.confinedPath(0)], reading: [file], limit: .seconds(60), outputLimit: 8 << 20,
            pool: pool
        ).text
    }

    private func lastName(_ path: String) -> String { path.split(separator: "/").last.map { String($0) } ?? "" }

    /// Whether a path can stand in a request as it is.
    private static func isPlain(_ path: String) -> Bool {
        path.hasPrefix("/") && path.utf8.count <= 1024
            && path.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._/+@-".contains($0)) }
    }

    /// Reads `ls -p`: `/INODE/MODE/UID/GID/NAME/SIZE/`, a line an entry.
    static func entries(in text: String) -> [String: RootEntry] {
        var entries: [String: RootEntry] = [:]
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: "/", omittingEmptySubsequences: false)
            guard fields.count == 8, let mode = UInt32(fields[2], radix: 8), !fields[5].isEmpty else { continue }
            let kind: RootEntry.Kind =
                switch mode & 0o170000 {
                case 0o100000: .file
                case 0o040000: .folder
                case 0o120000: .link
                case _: .other
                }
            entries[String(fields[5])] = RootEntry(kind: kind, mode: mode & 0o7777, size: Int64(fields[6]) ?? 0)
        }
        return entries
    }

    /// Reads `inode_dump -b`: lines of an offset, up to eight groups of four hex digits, and text.
    static func target(in text: String, length: Int) -> String? {
        var bytes: [UInt8] = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ").dropFirst().prefix(8)
            for word in words where word.utf8.count == 4 {
                guard let value = UInt16(word, radix: 16) else { return nil }
                bytes += [UInt8(value >> 8), UInt8(value & 255)]
            }
        }
        guard length > 0, bytes.count >= length else { return nil }
        return String(decoding: bytes.prefix(length), as: UTF8.self)
    }
}
