/// Writes the heads of entries.
///
/// Format: pax (POSIX.1-2001) where the old head is too small; attributes as `SCHILY.xattr.NAME`; files with holes as
/// GNU's sparse format 1.0, which GNU tar and libarchive read.
package enum TarHeader {
    /// Bytes of a block.
    package static let block = 512
    /// What ends an archive.
    package static let end = [UInt8](repeating: 0, count: 1024)

    private static let largestNumber: Int64 = 0o7777777
    private static let largestSize: Int64 = 0o77777777777

    /// Zeros after so many bytes of data.
    package static func padding(after size: Int64) -> Int { Int((512 - size % 512) % 512) }

    /// An entry's head, and the map of a file with holes; the bytes of its data (of its pieces) follow, and padding.
    package static func bytes(_ entry: TarEntry) -> [UInt8] {
        var records: [UInt8] = []
        var name = entry.name
        var stored = entry.kind == .file ? entry.size : 0
        var map: [UInt8] = []
        if let pieces = entry.pieces {
            map = sparseMap(pieces, size: entry.size)
            stored = Int64(map.count) + pieces.reduce(0) { $0 + $1.length }
            records += record("GNU.sparse.major", "1")
            records += record("GNU.sparse.minor", "0")
            records += record("GNU.sparse.name", name)
            records += record("GNU.sparse.realsize", "\(entry.size)")
            name = Array("GNUSparseFile.0/".utf8) + (name.split(separator: UInt8(ascii: "/")).last ?? [])
            name = Array(name.prefix(100))
        } else if name.count > 100 {
            records += record("path", name)
        }
        if entry.link.count > 100 { records += record("linkpath", entry.link) }
        if Int64(entry.user) > largestNumber { records += record("uid", "\(entry.user)") }
        if Int64(entry.group) > largestNumber { records += record("gid", "\(entry.group)") }
        if stored > largestSize { records += record("size", "\(stored)") }
        if entry.nanoseconds > 0 && entry.seconds >= 0 {
            let fraction = String(entry.nanoseconds)
            let zeros = String(repeating: "0", count: max(0, 9 - fraction.count))
            records += record("mtime", "\(entry.seconds).\(zeros)\(fraction)")
        } else if !(0...largestSize).contains(entry.seconds) {
            records += record("mtime", "\(entry.seconds)")
        }
        for attribute in entry.attributes {
            records += record(Array("SCHILY.xattr.".utf8) + attribute.name, attribute.value)
        }
        var result: [UInt8] = []
        if !records.isEmpty {
            let head = TarEntry(name: Array("PaxHeaders/entry".utf8), kind: .file)
            result += old(head, name: head.name, size: Int64(records.count), flag: "x")
            result += records + [UInt8](repeating: 0, count: padding(after: Int64(records.count)))
        }
        return result + old(entry, name: name, size: stored, flag: flag(entry.kind)) + map
    }

    private static func flag(_ kind: TarEntry.Kind) -> Unicode.Scalar {
        switch kind {
        case .file: "0"
        case .hardLink: "1"
        case .link: "2"
        case .characters: "3"
        case .blocks: "4"
        case .folder: "5"
        case .pipe: "6"
        }
    }

    /// `COUNT\n` and `OFFSET\nLENGTH\n` of each piece, with an empty one at the file's end where it ends in a hole.
    private static func sparseMap(_ pieces: [TarEntry.Piece], size: Int64) -> [UInt8] {
        var all = pieces
        if pieces.last.map({ $0.offset + $0.length }) != size { all.append(TarEntry.Piece(offset: size, length: 0)) }
        var map = Array("\(all.count)\n".utf8)
        for piece in all { map += Array("\(piece.offset)\n\(piece.length)\n".utf8) }
        return map + [UInt8](repeating: 0, count: padding(after: Int64(map.count)))
    }

    private static func record(_ key: String, _ value: String) -> [UInt8] { record(Array(key.utf8), Array(value.utf8)) }

    private static func record(_ key: String, _ value: [UInt8]) -> [UInt8] { record(Array(key.utf8), value) }

    /// `LENGTH KEY=VALUE\n`, whose length counts its own digits.
    private static func record(_ key: [UInt8], _ value: [UInt8]) -> [UInt8] {
        let rest = [UInt8(ascii: " ")] + key + [UInt8(ascii: "=")] + value + [UInt8(ascii: "\n")]
        var length = rest.count
        while rest.count + String(length).utf8.count != length { length = rest.count + String(length).utf8.count }
        return Array(String(length).utf8) + rest
    }

    private static func old(_ entry: TarEntry, name: [UInt8], size: Int64, flag: Unicode.Scalar) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ bytes: some Sequence<UInt8>, at offset: Int, limit: Int) {
            for (index, byte) in bytes.prefix(limit).enumerated() { block[offset + index] = byte }
        }
        func octal(_ value: Int64, at offset: Int, digits: Int) {
            guard value >= 0 else { return }
            var value = value
            for index in 0..<digits {
                block[offset + digits - 1 - index] = UInt8(ascii: "0") + UInt8(value & 7)
                value >>= 3
            }
            // What does not fit stands in the extended head.
            if value > 0 { for index in 0..<digits { block[offset + index] = UInt8(ascii: "0") } }
        }
        put(name, at: 0, limit: 100)
        octal(Int64(entry.mode & 0o7777), at: 100, digits: 7)
        octal(Int64(entry.user), at: 108, digits: 7)
        octal(Int64(entry.group), at: 116, digits: 7)
        octal(size, at: 124, digits: 11)
        octal(max(0, entry.seconds), at: 136, digits: 11)
        put("        ".utf8, at: 148, limit: 8)
        block[156] = UInt8(truncatingIfNeeded: flag.value)
        put(entry.link, at: 157, limit: 100)
        put("ustar".utf8, at: 257, limit: 5)
        put("00".utf8, at: 263, limit: 2)
        switch entry.kind {
        case .characters(let major, let minor), .blocks(let major, let minor):
            octal(Int64(major), at: 329, digits: 7)
            octal(Int64(minor), at: 337, digits: 7)
        case .file, .folder, .pipe, .hardLink, .link: break
        }
        let sum = block.reduce(0) { $0 + Int64($1) }
        octal(sum, at: 148, digits: 6)
        block[154] = 0
        return block
    }
}
