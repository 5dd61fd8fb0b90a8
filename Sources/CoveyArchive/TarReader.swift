internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Reads an archive from a descriptor, blocking. Whoever wrote it is not trusted.
///
/// Formats: the old one, POSIX's ustar and pax, GNU's long names, numbers in base 256, and all of GNU's ways to write
/// files with holes. An archive must have its end; what lies behind it is read and dropped.
package final class TarReader {
    /// Bytes of an extended head that are taken.
    static let longestExtension: Int64 = 1 << 20
    /// Pieces of a file with holes that are taken.
    static let mostPieces = 1 << 20
    private static let capacity = 256 << 10

    private let descriptor: Int32
    // Owned by this object, which nobody shares; never more than `capacity` bytes are touched.
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: TarReader.capacity, alignment: 16)
    private var start = 0
    private var end = 0
    private var isFirst = true
    /// Bytes of the current entry's data that were not read, with its padding behind them.
    private var left: Int64 = 0
    private var padding = 0

    /// Bytes that were read.
    package private(set) var position: Int64 = 0
    /// Called with ``position`` as it grows.
    package var onProgress: (Int64) -> Void = { _ in }

    /// A reader of a descriptor that blocks; it stays the caller's.
    package init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { buffer.deallocate() }

    /// The next entry; nil at the archive's end. Errors: ``ErrorCode/invalid`` for what is no archive,
    /// ``ErrorCode/unavailable`` for one that is cut off.
    package func next() throws -> TarEntry? {
        try skip(left + Int64(padding))
        (left, padding) = (0, 0)
        var extensions = TarExtensions()
        while true {
            guard let head = try takeBlock() else {
                throw CoveyError(
                    .unavailable, isFirst ? "there is no archive" : "the archive is cut off", retryable: false)
            }
            if head.allSatisfy({ $0 == 0 }) {
                try drain()
                return nil
            }
            if isFirst, let packer = TarReader.compression(head) {
                throw CoveyError(
                    .invalid, "the archive is compressed with \(packer)", remedy: "unpack it with \(packer) first")
            }
            isFirst = false
            let old = try OldTarHead(head)
            switch old.flag {
            case UInt8(ascii: "x"):
                try extensions.read(try content(old.size))
                continue
            case UInt8(ascii: "g"):
                _ = try content(old.size)
                continue
            case UInt8(ascii: "L"):
                extensions.path = try content(old.size).prefix { $0 != 0 }
                continue
            case UInt8(ascii: "K"):
                extensions.link = try content(old.size).prefix { $0 != 0 }
                continue
            case _: break
            }
            return try entry(old, head, extensions)
        }
    }

    /// The next bytes of the current entry's data, valid until the next call; empty at their end.
    package func data(limit: Int64 = .max) throws -> UnsafeRawBufferPointer {
        guard left > 0, limit > 0 else { return UnsafeRawBufferPointer(rebasing: buffer[0..<0]) }
        if start == end { try fill() }
        let count = Int(min(left, limit, Int64(end - start)))
        defer {
            start += count
            left -= Int64(count)
        }
        return UnsafeRawBufferPointer(rebasing: buffer[start..<(start + count)])
    }

    // MARK: entries

    private func entry(_ old: OldTarHead, _ head: [UInt8], _ extensions: TarExtensions) throws -> TarEntry? {
        var entry = TarEntry(name: extensions.path.map { Array($0) } ?? old.name, kind: .file)
        entry.mode = old.mode
        entry.user = extensions.user ?? old.user
        entry.group = extensions.group ?? old.group
        (entry.seconds, entry.nanoseconds) = extensions.time ?? (old.seconds, 0)
        entry.link = extensions.link.map { Array($0) } ?? old.link
        entry.attributes = extensions.attributes
        let stored = extensions.size ?? old.size
        switch old.flag {
        case UInt8(ascii: "1"): entry.kind = .hardLink
        case UInt8(ascii: "2"): entry.kind = .link
        case UInt8(ascii: "3"): entry.kind = .characters(major: old.major, minor: old.minor)
        case UInt8(ascii: "4"): entry.kind = .blocks(major: old.major, minor: old.minor)
        case UInt8(ascii: "5"): entry.kind = .folder
        case UInt8(ascii: "6"): entry.kind = .pipe
        case _: entry.kind = entry.name.last == UInt8(ascii: "/") ? .folder : .file
        }
        guard !entry.name.isEmpty, !entry.name.contains(0), !entry.link.contains(0) else {
            throw CoveyError(.invalid, "the archive has an entry without a name")
        }
        guard entry.kind == .file else { return entry }
        left = stored
        padding = TarHeader.padding(after: stored)
        entry.size = stored
        if old.flag == UInt8(ascii: "S") {
            let (pieces, size) = try oldSparse(head)
            entry.pieces = pieces
            entry.size = size
        } else if let size = extensions.sparseSize {
            entry.size = size
            entry.pieces = extensions.hasMapInData ? try sparseMap() : extensions.pieces
        }
        if let pieces = entry.pieces { try check(pieces, of: entry) }
        return entry
    }

    private func check(_ pieces: [TarEntry.Piece], of entry: TarEntry) throws {
        var reached: Int64 = 0
        var sum: Int64 = 0
        for piece in pieces {
            let (end, overflow) = piece.offset.addingReportingOverflow(piece.length)
            guard piece.offset >= reached, piece.length >= 0, !overflow, end <= entry.size else {
                throw CoveyError(.invalid, "the archive's map of holes in \(displayed(entry.name)) is wrong")
            }
            reached = end
            sum += piece.length
        }
        guard sum == left else {
            throw CoveyError(.invalid, "the archive's map of holes in \(displayed(entry.name)) is wrong")
        }
    }

    /// The map of GNU's format 1.0, which stands before the data.
    private func sparseMap() throws -> [TarEntry.Piece] {
        var text: [UInt8] = []
        var numbers: [Int64] = []
        var wanted = 1
        while numbers.count < wanted {
            guard left >= 512, let block = try takeBlock() else {
                throw CoveyError(.invalid, "the archive's map of holes is cut off")
            }
            left -= 512
            for byte in block where numbers.count < wanted {
                if byte != UInt8(ascii: "\n") {
                    text.append(byte)
                    guard text.count < 20 else { throw CoveyError(.invalid, "the archive's map of holes is wrong") }
                    continue
                }
                guard let number = Int64(String(decoding: text, as: UTF8.self)), number >= 0 else {
                    throw CoveyError(.invalid, "the archive's map of holes is wrong")
                }
                text = []
                numbers.append(number)
                if numbers.count == 1 {
                    guard number <= TarReader.mostPieces else {
                        throw CoveyError(.exhausted, "the archive has a file with too many holes")
                    }
                    wanted = 1 + 2 * Int(number)
                }
            }
        }
        return stride(from: 1, to: numbers.count, by: 2).map { .init(offset: numbers[$0], length: numbers[$0 + 1]) }
    }

    /// The map of GNU's oldest format, in the head and blocks behind it.
    private func oldSparse(_ head: [UInt8]) throws -> ([TarEntry.Piece], Int64) {
        var pieces: [TarEntry.Piece] = []
        func add(_ block: [UInt8], _ first: Int, _ count: Int) throws {
            for index in 0..<count {
                let place = first + index * 24
                if block[place] == 0 { return }
                pieces.append(
                    TarEntry.Piece(
                        offset: try OldTarHead.number(block[place..<(place + 12)]),
                        length: try OldTarHead.number(block[(place + 12)..<(place + 24)])))
            }
        }
        try add(head, 386, 4)
        var goesOn = head[482] != 0
        while goesOn {
            guard let block = try takeBlock(), pieces.count < TarReader.mostPieces else {
                throw CoveyError(.invalid, "the archive's map of holes is cut off")
            }
            try add(block, 0, 21)
            goesOn = block[504] != 0
        }
        return (pieces, try OldTarHead.number(head[483..<495]))
    }

    private static func compression(_ head: [UInt8]) -> String? {
        if head.starts(with: [0x1F, 0x8B]) { return "gzip" }
        if head.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) { return "zstd" }
        if head.starts(with: [0xFD, 0x37, 0x7A, 0x58, 0x5A]) { return "xz" }
        return head.starts(with: Array("BZh".utf8)) ? "bzip2" : nil
    }

    // MARK: bytes

    private func fill() throws {
        start = 0
        end = 0
        while true {
            let got = read(descriptor, buffer.baseAddress, buffer.count)
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw SystemError("read", "the archive").coveyError }
            guard got > 0 else { throw CoveyError(.unavailable, "the archive is cut off", retryable: false) }
            end = got
            position += Int64(got)
            onProgress(position)
            return
        }
    }

    /// A block; nil at the stream's end before its first byte.
    private func takeBlock() throws -> [UInt8]? {
        var block: [UInt8] = []
        block.reserveCapacity(512)
        while block.count < 512 {
            if start == end {
                do { try fill() } catch let error as CoveyError where error.code == .unavailable && block.isEmpty {
                    return nil
                }
            }
            let count = min(512 - block.count, end - start)
            block += UnsafeRawBufferPointer(rebasing: buffer[start..<(start + count)])
            start += count
        }
        return block
    }

    private func content(_ size: Int64) throws -> [UInt8] {
        guard size >= 0, size <= TarReader.longestExtension else {
            throw CoveyError(.invalid, "the archive has a head of \(size) bytes")
        }
        var bytes: [UInt8] = []
        while Int64(bytes.count) < size {
            guard let block = try takeBlock() else {
                throw CoveyError(.unavailable, "the archive is cut off", retryable: false)
            }
            bytes += block.prefix(Int(size) - bytes.count)
        }
        return bytes
    }

    private func skip(_ count: Int64) throws {
        var rest = count
        while rest > 0 {
            if start == end { try fill() }
            let step = Int(min(rest, Int64(end - start)))
            start += step
            rest -= Int64(step)
        }
    }

    private func drain() throws {
        do { while true { try fill() } } catch let error as CoveyError where error.code == .unavailable {}
    }
}
