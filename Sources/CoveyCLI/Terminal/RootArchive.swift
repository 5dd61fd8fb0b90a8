internal import CoveyModel
internal import CoveySystem
internal import Synchronization

/// A folder with owners, times, devices, hard links and attributes as a tar archive, made piece by piece.
///
/// Format: pax (POSIX.1-2001), attributes as `SCHILY.xattr.NAME`. Sockets are left out. Other file systems that are
/// mounted in the folder are not entered.
final class RootArchive: Sendable {
    private struct State {
        var waiting: [String] = [""]
        var open: (file: SentFile, left: Int64, size: Int64)?
        var links: [[UInt64]: String] = [:]
        var ended = false
    }

    private static let keptAttributes = ["security.capability", "system.posix_acl_access", "system.posix_acl_default"]

    private let root: String
    private let device: UInt64
    private let state = Mutex(State())
    private let pool = BlockingPool("covey-tree")

    /// The tree of a folder.
    init(_ root: String) throws(SystemError) {
        self.root = root
        device = try NodeFacts(root).device
    }

    /// The next piece; nil at the end.
    func next() async throws -> [UInt8]? {
        if let (file, left, size) = state.withLock({ $0.open }) {
            guard let bytes = try await file.next(), Int64(bytes.count) <= left else {
                throw CoveyError(.conflict, "a file below \(root) changed while it was read")
            }
            let rest = left - Int64(bytes.count)
            state.withLock { $0.open = rest > 0 ? (file, rest, size) : nil }
            return rest > 0 ? bytes : bytes + RootArchive.padding(after: size)
        }
        while let name = state.withLock({ $0.waiting.popLast() }) {
            if let header = try await pool.run({ try self.entry(name) }) { return header }
        }
        let last = state.withLock { state in
            defer { state.ended = true }
            return !state.ended
        }
        return last ? [UInt8](repeating: 0, count: 1024) : nil
    }

    private func entry(_ name: String) throws -> [UInt8]? {
        let path = name.isEmpty ? root : "\(root)/\(name)"
        let facts = try NodeFacts(path)
        var header = PaxHeader(name: name.isEmpty ? "./" : "./\(name)", facts)
        header.attributes = try attributes(path)
        switch facts.kind {
        case .folder:
            if facts.device == device {
                let names = try listFolder(path).reversed().map { name.isEmpty ? $0 : "\(name)/\($0)" }
                state.withLock { $0.waiting += names }
            }
            header.name += header.name.hasSuffix("/") ? "" : "/"
            return header.bytes(kind: "5")
        case .link:
            header.link = try linkTarget(path)
            return header.bytes(kind: "2")
        case .characters(let major, let minor):
            header.device = (major, minor)
            return header.bytes(kind: "3")
        case .blocks(let major, let minor):
            header.device = (major, minor)
            return header.bytes(kind: "4")
        case .pipe: return header.bytes(kind: "6")
        case .socket: return nil
        case .file: return try file(path, facts, &header)
        }
    }

    private func file(_ path: String, _ facts: NodeFacts, _ header: inout PaxHeader) throws -> [UInt8] {
        if facts.names > 1 {
            let key = [facts.device, facts.inode]
            let name = header.name
            let first = state.withLock { state -> String? in
                if let first = state.links[key] { return first }
                state.links[key] = name
                return nil
            }
            if let first {
                header.link = first
                header.attributes = [:]
                return header.bytes(kind: "1")
            }
        }
        header.size = facts.size
        if facts.size > 0 {
            let file = try SentFile(path)
            state.withLock { $0.open = (file, facts.size, facts.size) }
        }
        return header.bytes(kind: "0")
    }

    private func attributes(_ path: String) throws -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for name in try attributeNames(of: path)
        where name.hasPrefix("user.") || RootArchive.keptAttributes.contains(name) {
            found[name] = try attributeValue(name, of: path)
        }
        return found
    }

    private static func padding(after size: Int64) -> [UInt8] {
        [UInt8](repeating: 0, count: Int((512 - size % 512) % 512))
    }
}

/// One entry's head: an extended header where the old one is too small, and the old one.
private struct PaxHeader {
    var name: String
    var link = ""
    var size: Int64 = 0
    var device: (major: Int64, minor: Int64) = (0, 0)
    var attributes: [String: [UInt8]] = [:]
    private let mode: Int64
    private let owner: (user: Int64, group: Int64)
    private let time: Int64

    private static let largestNumber: Int64 = 0o7777777
    private static let largestSize: Int64 = 0o77777777777

    init(name: String, _ facts: NodeFacts) {
        self.name = name
        mode = facts.mode
        owner = (facts.user, facts.group)
        time = facts.changed
    }

    func bytes(kind: Character) -> [UInt8] {
        var records: [UInt8] = []
        if name.utf8.count > 100 { records += PaxHeader.record("path", Array(name.utf8)) }
        if link.utf8.count > 100 { records += PaxHeader.record("linkpath", Array(link.utf8)) }
        if owner.user > PaxHeader.largestNumber { records += PaxHeader.record("uid", Array("\(owner.user)".utf8)) }
        if owner.group > PaxHeader.largestNumber { records += PaxHeader.record("gid", Array("\(owner.group)".utf8)) }
        if size > PaxHeader.largestSize { records += PaxHeader.record("size", Array("\(size)".utf8)) }
        if !(0...PaxHeader.largestSize).contains(time) { records += PaxHeader.record("mtime", Array("\(time)".utf8)) }
        for (name, value) in attributes.sorted(by: { $0.key < $1.key }) {
            records += PaxHeader.record("SCHILY.xattr.\(name)", value)
        }
        var result: [UInt8] = []
        if !records.isEmpty {
            result += PaxHeader.block("PaxHeaders/entry", 0o644, (0, 0), Int64(records.count), 0, "x", "", (0, 0))
            result += records + [UInt8](repeating: 0, count: (512 - records.count % 512) % 512)
        }
        return result + PaxHeader.block(name, mode, owner, size, time, kind, link, device)
    }

    /// `LENGTH KEY=VALUE\n`, whose length counts its own digits.
    private static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
        let rest = Array(" \(key)=".utf8) + value + Array("\n".utf8)
        var length = rest.count
        while rest.count + String(length).utf8.count != length { length = rest.count + String(length).utf8.count }
        return Array(String(length).utf8) + rest
    }

    private static func block(
        _ name: String, _ mode: Int64, _ owner: (user: Int64, group: Int64), _ size: Int64, _ time: Int64,
        _ kind: Character, _ link: String, _ device: (major: Int64, minor: Int64)
    ) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int, limit: Int) {
            for (index, byte) in text.utf8.prefix(limit).enumerated() { block[offset + index] = byte }
        }
        func octal(_ value: Int64, at offset: Int, digits: Int) {
            let text = String(max(0, value), radix: 8)
            guard text.count <= digits else { return }
            put(String(repeating: "0", count: digits - text.count) + text, at: offset, limit: digits)
        }
        put(name, at: 0, limit: 100)
        octal(mode, at: 100, digits: 7)
        octal(owner.user, at: 108, digits: 7)
        octal(owner.group, at: 116, digits: 7)
        octal(size, at: 124, digits: 11)
        octal(time, at: 136, digits: 11)
        put("        ", at: 148, limit: 8)
        put(String(kind), at: 156, limit: 1)
        put(link, at: 157, limit: 100)
        put("ustar", at: 257, limit: 5)
        put("00", at: 263, limit: 2)
        octal(device.major, at: 329, digits: 7)
        octal(device.minor, at: 337, digits: 7)
        let sum = block.reduce(0) { $0 + Int64($1) }
        octal(sum, at: 148, digits: 6)
        block[154] = 0
        return block
    }
}
