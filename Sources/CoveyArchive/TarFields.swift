internal import CoveyModel

/// The head of 512 bytes that every entry has.
struct OldTarHead {
    var name: [UInt8]
    var mode: UInt32
    var user: UInt32
    var group: UInt32
    var size: Int64
    var seconds: Int64
    var flag: UInt8
    var link: [UInt8]
    var major: UInt32
    var minor: UInt32

    /// Reads a block. Errors: ``ErrorCode/invalid`` for a wrong sum or number.
    init(_ block: [UInt8]) throws {
        let sum = block.enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 32 : Int64($1.element)) }
        guard try OldTarHead.number(block[148..<156]) == sum else {
            throw CoveyError(.invalid, "this is no tar archive", remedy: "send one that tar wrote, uncompressed")
        }
        func text(_ range: Range<Int>) -> [UInt8] { Array(block[range].prefix { $0 != 0 }) }
        func small(_ range: Range<Int>) throws -> UInt32 {
            UInt32(clamping: try OldTarHead.number(block[range]))
        }
        name = text(0..<100)
        mode = try small(100..<108) & 0o7777
        user = try small(108..<116)
        group = try small(116..<124)
        size = try OldTarHead.number(block[124..<136])
        seconds = try OldTarHead.number(block[136..<148], signed: true)
        flag = block[156]
        link = text(157..<257)
        (major, minor) = (0, 0)
        // POSIX's own form; GNU's has other things behind the link.
        if block[257..<263].elementsEqual(Array("ustar\0".utf8)) {
            major = try small(329..<337)
            minor = try small(337..<345)
            let prefix = text(345..<500)
            if !prefix.isEmpty { name = prefix + [UInt8(ascii: "/")] + name }
        } else if flag == UInt8(ascii: "3") || flag == UInt8(ascii: "4") {
            major = try small(329..<337)
            minor = try small(337..<345)
        }
    }

    /// A number in octal digits, or in base 256.
    static func number(_ field: ArraySlice<UInt8>, signed: Bool = false) throws -> Int64 {
        guard let first = field.first else { return 0 }
        if first & 0x80 != 0 {
            var value: Int64 = signed && first & 0x40 != 0 ? -1 : Int64(first & 0x3F)
            for byte in field.dropFirst() {
                guard value < 1 << 54, value > -(1 << 54) else {
                    throw CoveyError(.invalid, "the archive has a number that is too large")
                }
                value = value << 8 | Int64(byte)
            }
            guard signed || value >= 0 else { throw CoveyError(.invalid, "the archive has a negative number") }
            return value
        }
        var value: Int64 = 0
        for byte in field.drop(while: { $0 == 32 }) {
            if byte == 0 || byte == 32 { break }
            guard (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(byte) else {
                throw CoveyError(.invalid, "this is no tar archive", remedy: "send one that tar wrote, uncompressed")
            }
            value = value << 3 | Int64(byte - UInt8(ascii: "0"))
        }
        return value
    }
}

/// What stands in the heads before an entry's own.
struct TarExtensions {
    var path: ArraySlice<UInt8>?
    var link: ArraySlice<UInt8>?
    var size: Int64?
    var user: UInt32?
    var group: UInt32?
    var time: (Int64, Int64)?
    var attributes: [TarEntry.Attribute] = []
    var sparseSize: Int64?
    var hasMapInData = false
    var pieces: [TarEntry.Piece] = []
    private var sparseName: ArraySlice<UInt8>?
    private var offset: Int64?

    init() {}

    /// Reads pax records: `LENGTH KEY=VALUE\n`.
    mutating func read(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while let space = rest.firstIndex(of: UInt8(ascii: " ")) {
            guard let length = Int(String(decoding: rest[..<space], as: UTF8.self)), length > 0, length <= rest.count,
                space - rest.startIndex < length - 1
            else { throw CoveyError(.invalid, "the archive has a wrong extended head") }
            let record = rest[(space + 1)..<(rest.startIndex + length - 1)]
            rest = rest.dropFirst(length)
            guard let sign = record.firstIndex(of: UInt8(ascii: "=")) else {
                throw CoveyError(.invalid, "the archive has a wrong extended head")
            }
            try take(record[..<sign], record[(sign + 1)...])
        }
        if let sparseName { path = sparseName }
    }

    private static let attributePrefix = Array("SCHILY.xattr.".utf8)

    private mutating func take(_ key: ArraySlice<UInt8>, _ value: ArraySlice<UInt8>) throws {
        if key.starts(with: TarExtensions.attributePrefix) {
            guard attributes.count < 1024 else { throw CoveyError(.invalid, "the archive has too many attributes") }
            attributes.append(
                .init(name: Array(key.dropFirst(TarExtensions.attributePrefix.count)), value: Array(value)))
            return
        }
        switch String(decoding: key, as: UTF8.self) {
        case "path": path = value
        case "linkpath": link = value
        case "size": size = try number(value)
        case "uid": user = UInt32(clamping: try number(value))
        case "gid": group = UInt32(clamping: try number(value))
        case "mtime": time = try TarExtensions.time(value)
        case "GNU.sparse.major": hasMapInData = try number(value) == 1
        case "GNU.sparse.name": sparseName = value
        case "GNU.sparse.realsize", "GNU.sparse.size": sparseSize = try number(value)
        case "GNU.sparse.offset": offset = try number(value)
        case "GNU.sparse.numbytes":
            guard let place = offset else { throw CoveyError(.invalid, "the archive's map of holes is wrong") }
            pieces.append(.init(offset: place, length: try number(value)))
            offset = nil
        case "GNU.sparse.map":
            let numbers = try value.split(separator: UInt8(ascii: ",")).map { try number($0) }
            guard numbers.count % 2 == 0 else { throw CoveyError(.invalid, "the archive's map of holes is wrong") }
            pieces = stride(from: 0, to: numbers.count, by: 2).map {
                .init(offset: numbers[$0], length: numbers[$0 + 1])
            }
        case _: break
        }
    }

    private func number(_ value: ArraySlice<UInt8>) throws -> Int64 {
        guard let number = Int64(String(decoding: value, as: UTF8.self)), number >= 0, number < 1 << 62 else {
            throw CoveyError(.invalid, "the archive has a wrong number in an extended head")
        }
        return number
    }

    private static func time(_ value: ArraySlice<UInt8>) throws -> (Int64, Int64) {
        let parts = value.split(separator: UInt8(ascii: "."), maxSplits: 1).map { String(decoding: $0, as: UTF8.self) }
        guard let seconds = parts.first.flatMap({ Int64($0) }), abs(seconds) < 1 << 54 else {
            throw CoveyError(.invalid, "the archive has a wrong time")
        }
        guard parts.count == 2, seconds >= 0 else { return (seconds, 0) }
        let digits = parts[1].prefix(9)
        return (seconds, Int64(digits + String(repeating: "0", count: 9 - digits.count)) ?? 0)
    }
}
