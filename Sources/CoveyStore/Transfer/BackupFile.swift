package import CoveyModel
internal import Crypto
internal import FoundationEssentials

/// What a backup says of itself.
package struct BackupHeader: Hashable, Codable, Sendable {
    /// The layout of the file.
    package var version: Int
    /// The oldest format of records that may read it.
    package var format: Int
    /// The program that wrote it.
    package var program: String
    /// The lineage that it was taken of.
    package var incarnation: String
    /// The lineages before that.
    package var ancestors: [String]
    /// The revision that all of it stood at.
    package var revision: Int64
    /// The daemon root that took it: its node.
    package var node: String?
    /// The daemon root that took it: its instance.
    package var instance: String?

    /// The layout that this program writes, and the newest that it reads.
    package static let current = 1

    /// Puts the parts together.
    package init(
        version: Int, format: Int, program: String, incarnation: String, ancestors: [String], revision: Int64,
        node: String? = nil, instance: String? = nil
    ) {
        self.version = version
        self.format = format
        self.program = program
        self.incarnation = incarnation
        self.ancestors = ancestors
        self.revision = revision
        self.node = node
        self.instance = instance
    }
}

/// A file of all keys at one revision: a word, a header in JSON behind its length, entries with the lengths of key and
/// value before them, an end with their number, and the SHA-256 of all of it. Numbers are big-endian.
package struct BackupEncoder: Sendable {
    static let word = Array("covey backup\n".utf8)
    static let end = UInt32.max

    private var digest = SHA256()
    private var count: UInt64 = 0

    /// Nothing written yet.
    package init() {}

    /// The beginning of the file.
    package mutating func header(_ header: BackupHeader) throws -> [UInt8] {
        let text = try RecordCoding.encode(header)
        return hashed(BackupEncoder.word + BackupEncoder.bytes(UInt32(text.count)) + text)
    }

    /// One entry.
    package mutating func entry(_ key: StoreKey, _ value: [UInt8]) -> [UInt8] {
        count += 1
        return hashed(
            BackupEncoder.bytes(UInt32(key.count)) + BackupEncoder.bytes(UInt32(value.count)) + key.bytes + value)
    }

    /// The end of the file.
    package mutating func finish() -> [UInt8] {
        let end = hashed(BackupEncoder.bytes(BackupEncoder.end) + BackupEncoder.bytes(count))
        return end + Array(digest.finalize())
    }

    private mutating func hashed(_ bytes: [UInt8]) -> [UInt8] {
        digest.update(data: bytes)
        return bytes
    }

    static func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}

/// What a whole backup holds: for whoever looks before a store is touched.
package struct BackupSummary: Sendable {
    /// What it says of itself.
    package private(set) var header: BackupHeader?
    /// How many keys it has.
    package private(set) var count = 0
    private var nodes: Set<StoreKey> = []
    private var decoder = BackupDecoder()

    /// Nothing read yet.
    package init() {}

    /// Takes bytes of the file. Errors: as ``BackupDecoder/take(_:)``.
    package mutating func take(_ bytes: [UInt8]) throws(CoveyError) {
        for entry in try decoder.take(bytes) {
            count += 1
            if entry.key.hasPrefix(KeySpace.nodes) { nodes.insert(entry.key) }
        }
        header = decoder.header
    }

    /// Says that the file ends here. Errors: ``ErrorCode/corrupt`` where that is too early.
    package func finish() throws(CoveyError) { try decoder.finish() }

    /// Whether it knows a node.
    package func knows(_ node: NodeID) -> Bool { nodes.contains(KeySpace.node(node)) }
}

/// Reads a backup piece by piece, however it is cut.
package struct BackupDecoder: Sendable {
    private enum Stage { case header, entries, digest, done }

    private static let largestHeader = 1 << 20
    private var stage = Stage.header
    private var waiting: [UInt8] = []
    private var digest = SHA256()
    private var count: UInt64 = 0
    /// The header, as soon as it was read.
    package private(set) var header: BackupHeader?

    /// Nothing read yet.
    package init() {}

    /// Takes bytes of the file; gives the entries that are whole with them.
    ///
    /// - Throws: ``ErrorCode/corrupt`` for what is no backup or was damaged, ``ErrorCode/unsupported`` for one of a newer
    ///   program.
    package mutating func take(_ bytes: [UInt8]) throws(CoveyError) -> [(key: StoreKey, value: [UInt8])] {
        waiting += bytes
        var entries: [(key: StoreKey, value: [UInt8])] = []
        var used = 0
        while let length = try part(at: used, &entries) { used += length }
        waiting.removeFirst(used)
        return entries
    }

    /// Says that the file ends here. Errors: ``ErrorCode/corrupt`` where that is too early.
    package func finish() throws(CoveyError) {
        guard stage == .done, waiting.isEmpty else { throw Self.damaged("it ends early") }
    }

    /// Reads the part that begins at an offset; nil where bytes are missing. Returns its length.
    private mutating func part(
        at start: Int, _ entries: inout [(key: StoreKey, value: [UInt8])]
    ) throws(CoveyError) -> Int? {
        let rest = waiting.count - start
        switch stage {
        case .header:
            let word = BackupEncoder.word
            guard rest >= word.count + 4 else {
                guard word.starts(with: waiting[start...].prefix(word.count)) else { throw Self.foreign }
                return nil
            }
            guard waiting[start...].starts(with: word) else { throw Self.foreign }
            let size = Int(number(UInt32.self, at: start + word.count))
            guard size <= Self.largestHeader else { throw Self.damaged("its header is too long") }
            let length = word.count + 4 + size
            guard rest >= length else { return nil }
            header = try Self.header(Array(waiting[(start + word.count + 4)..<(start + length)]))
            digest.update(data: waiting[start..<(start + length)])
            stage = .entries
            return length
        case .entries:
            guard rest >= 4 else { return nil }
            let key = number(UInt32.self, at: start)
            if key == BackupEncoder.end {
                guard rest >= 12 else { return nil }
                guard number(UInt64.self, at: start + 4) == count else { throw Self.damaged("entries are missing") }
                digest.update(data: waiting[start..<(start + 12)])
                stage = .digest
                return 12
            }
            guard rest >= 8 else { return nil }
            let value = number(UInt32.self, at: start + 4)
            let size = Int(key) + Int(value)
            guard key > 0, size <= Transaction.sizeLimit else { throw Self.damaged("an entry cannot be that long") }
            guard rest >= 8 + size else { return nil }
            let bytes = waiting[(start + 8)..<(start + 8 + size)]
            guard let text = String(validating: bytes.prefix(Int(key)), as: UTF8.self) else {
                throw Self.damaged("a key is no text")
            }
            entries.append((StoreKey(text), Array(bytes.dropFirst(Int(key)))))
            digest.update(data: waiting[start..<(start + 8 + size)])
            count += 1
            return 8 + size
        case .digest:
            guard rest >= 32 else { return nil }
            guard waiting[start..<(start + 32)].elementsEqual(digest.finalize()) else {
                throw Self.damaged("its checksum is another")
            }
            stage = .done
            return 32
        case .done:
            guard rest == 0 else { throw Self.damaged("something follows its end") }
            return nil
        }
    }

    private func number<T: FixedWidthInteger>(_: T.Type, at start: Int) -> T {
        waiting[start..<(start + MemoryLayout<T>.size)].reduce(0) { $0 << 8 | T($1) }
    }

    private static func header(_ bytes: [UInt8]) throws(CoveyError) -> BackupHeader {
        struct Version: Decodable { var version: Int }
        let version: Int
        do { version = try RecordCoding.decode(Version.self, bytes).version } catch {
            throw damaged("its header cannot be read")
        }
        guard version <= BackupHeader.current else {
            throw CoveyError(
                .unsupported, "the backup has layout \(version), this program reads \(BackupHeader.current)",
                remedy: "install the newer Covey that wrote it; nothing was changed")
        }
        let header: BackupHeader
        do { header = try RecordCoding.decode(BackupHeader.self, bytes) } catch {
            throw damaged("its header cannot be read")
        }
        guard header.format <= StoreFormat.current else {
            throw CoveyError(
                .unsupported, "the backup asks for Covey \(header.program) or later, this is \(CoveyVersion.current)",
                remedy: "install the newer Covey that wrote it; nothing was changed")
        }
        return header
    }

    private static var foreign: CoveyError {
        CoveyError(
            .corrupt, "the file is no backup of Covey", remedy: "name a file that covey system backup has written")
    }

    private static func damaged(_ why: String) -> CoveyError {
        CoveyError(.corrupt, "the backup is damaged: \(why)", remedy: "take an older one; nothing was changed")
    }
}
