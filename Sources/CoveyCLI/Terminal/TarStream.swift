internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// A folder's files, folders and links as a tar archive, made piece by piece.
///
/// Format: ustar, with GNU's long names (tar(5)). Owners and times are left out, so that a tree has one archive.
final class TarStream: Sendable {
    private struct State {
        /// Names in the archive, and where their content lies.
        var waiting: [(name: String, path: String)]
        var open: (file: SentFile, left: Int64)?
        var ended = false
    }

    private let root: String
    private let state: Mutex<State>

    /// Opens a folder. Errors: ``ErrorCode/notFound``; ``ErrorCode/invalid`` for anything but a folder.
    init(folder: String) throws {
        root = folder
        do {
            state = Mutex(State(waiting: try listFolder(folder).reversed().map { ($0, "\(folder)/\($0)") }))
        } catch {
            guard error.isErrno(ENOENT) || error.isErrno(ENOTDIR) else { throw error.coveyError }
            throw CoveyError(.notFound, "there is no folder \(folder)", remedy: "name one such as /lib/modules/VERSION")
        }
    }

    /// Files of any folders, by their last names. Errors: ``ErrorCode/notFound``, ``ErrorCode/invalid`` for two of a name.
    init(files: [String]) throws {
        root = files.joined(separator: ", ")
        var waiting: [(name: String, path: String)] = []
        for path in files.reversed() {
            let name = path.split(separator: "/").last.map { String($0) } ?? path
            guard !waiting.contains(where: { $0.name == name }) else {
                throw CoveyError(.invalid, "two of the files are called \(name)", remedy: "give each once")
            }
            // Says what is wrong before anything is sent.
            _ = try SentFile(path)
            waiting.append((name, path))
        }
        state = Mutex(State(waiting: waiting))
    }

    /// The next piece; nil at the end.
    func next() async throws -> [UInt8]? {
        if let (file, left) = state.withLock({ $0.open }) {
            guard let bytes = try await file.next(), Int64(bytes.count) <= left else {
                throw CoveyError(.conflict, "a file below \(root) changed while it was read")
            }
            let rest = left - Int64(bytes.count)
            state.withLock { $0.open = rest > 0 ? (file, rest) : nil }
            return rest > 0 ? bytes : bytes + TarStream.padding(after: try size(of: file))
        }
        guard let (name, path) = state.withLock({ $0.waiting.popLast() }) else {
            let last = state.withLock { state in
                defer { state.ended = true }
                return !state.ended
            }
            return last ? [UInt8](repeating: 0, count: 1024) : nil
        }
        return try await entry(name, path)
    }

    private let sizes = Mutex<[ObjectIdentifier: Int64]>([:])

    private func size(of file: SentFile) throws -> Int64 {
        sizes.withLock { $0.removeValue(forKey: ObjectIdentifier(file)) } ?? 0
    }

    private func entry(_ name: String, _ path: String) async throws -> [UInt8] {
        let facts = try FileFacts(path)
        let mode = facts.mode & 0o777
        switch facts.kind {
        case .folder:
            let names = try listFolder(path).reversed().map { (name: "\(name)/\($0)", path: "\(path)/\($0)") }
            state.withLock { $0.waiting += names }
            return TarStream.header("\(name)/", mode: mode, size: 0, kind: "5")
        case .link:
            var target = [CChar](repeating: 0, count: 4097)
            let length = try check("readlink", path) { readlink(path, &target, 4096) }
            let text = String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return TarStream.header(name, mode: 0o777, size: 0, kind: "2", link: text)
        case .file:
            let size = facts.size
            if size > 0 {
                let file = try SentFile(path)
                sizes.withLock { $0[ObjectIdentifier(file)] = size }
                state.withLock { $0.open = (file, size) }
            }
            return TarStream.header(name, mode: mode, size: size, kind: "0")
        case .other: return try await next() ?? []
        }
    }

    private static func padding(after size: Int64) -> [UInt8] {
        [UInt8](repeating: 0, count: Int((512 - size % 512) % 512))
    }

    private static func header(
        _ name: String, mode: UInt32, size: Int64, kind: Character, link: String = ""
    ) -> [UInt8] {
        var blocks: [UInt8] = []
        for (text, kind) in [(link, Character("K")), (name, Character("L"))] where text.utf8.count > 100 {
            let bytes = Array(text.utf8) + [0]
            blocks += block("././@LongLink", mode: 0, size: Int64(bytes.count), kind: kind, link: "")
            blocks += bytes + padding(after: Int64(bytes.count))
        }
        return blocks + block(name, mode: mode, size: size, kind: kind, link: link)
    }

    private static func block(
        _ name: String, mode: UInt32, size: Int64, kind: Character, link: String
    ) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int, limit: Int) {
            for (index, byte) in text.utf8.prefix(limit).enumerated() { block[offset + index] = byte }
        }
        func octal(_ value: Int64, at offset: Int, digits: Int) {
            let text = String(value, radix: 8)
            put(String(repeating: "0", count: max(0, digits - text.count)) + text, at: offset, limit: digits)
        }
        put(name, at: 0, limit: 100)
        octal(Int64(mode), at: 100, digits: 7)
        octal(0, at: 108, digits: 7)
        octal(0, at: 116, digits: 7)
        octal(size, at: 124, digits: 11)
        octal(0, at: 136, digits: 11)
        put("        ", at: 148, limit: 8)
        put(String(kind), at: 156, limit: 1)
        put(link, at: 157, limit: 100)
        put("ustar", at: 257, limit: 5)
        put("00", at: 263, limit: 2)
        let sum = block.reduce(0) { $0 + Int64($1) }
        octal(sum, at: 148, digits: 6)
        block[154] = 0
        return block
    }
}
