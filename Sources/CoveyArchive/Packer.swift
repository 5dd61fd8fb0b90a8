internal import CCovey
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Writes a file or folder as an archive to a descriptor, blocking.
///
/// The first entry is the source itself under its own name, or `./` where a folder's content is meant (`DIR/.`).
package final class Packer {
    /// How a source is packed.
    package struct Options: Hashable, Sendable {
        /// Whether a source that is a symbolic link is followed; links in it never are.
        package var followsLink: Bool
        /// Whether all attributes and whole times go along, as who keeps owners wants them.
        package var isExact: Bool

        /// Makes options.
        package init(followsLink: Bool = false, isExact: Bool = false) {
            self.followsLink = followsLink
            self.isExact = isExact
        }
    }

    private struct Open {
        var descriptor: Int32
        var name: [UInt8]
        var path: [UInt8]
        var waiting: [[UInt8]]
    }

    private static let capacity = 256 << 10
    private static let exactAttributes = [
        "security.capability", "system.posix_acl_access", "system.posix_acl_default",
    ].map { Array($0.utf8) }
    // proc, sysfs, devpts, cgroup, cgroup2, securityfs, debugfs, tracefs, bpf, pstore, configfs, mqueue, autofs, nsfs:
    // what lies there is no data. Source: linux/magic.h.
    private static let unreal: Set<UInt64> = [
        0x9FA0, 0x6265_6572, 0x1CD1, 0x27_E0EB, 0x6367_7270, 0x7363_6673, 0x6462_6720, 0x7472_6163, 0xCAFE_4A11,
        0x6165_676C, 0x6265_6570, 0x1980_0202, 0x187, 0x6E73_6673,
    ]

    private let options: Options
    private let output: Int32
    // Owned by this object, which nobody shares; never more than `capacity` bytes are touched.
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Packer.capacity, alignment: 16)
    private var filled = 0
    private var links: [[UInt64]: [UInt8]] = [:]
    private var folders: [Open] = []

    /// Bytes that were written.
    package private(set) var position: Int64 = 0
    /// Called with ``position`` as it grows.
    package var onProgress: (Int64) -> Void = { _ in }
    /// Called with what was left out and why.
    package var onNote: (String) -> Void = { _ in }

    /// A packer to a descriptor that blocks; it stays the caller's.
    package init(_ options: Options, to output: Int32) {
        self.options = options
        self.output = output
    }

    deinit {
        buffer.deallocate()
        for folder in folders { close(folder.descriptor) }
    }

    /// Packs a path. Errors: ``ErrorCode/notFound``, ``ErrorCode/denied``; ``ErrorCode/unavailable`` where nobody reads.
    package func pack(_ path: String) throws {
        let source = CopySource(path)
        let text = Array(source.path.utf8)
        let follows = options.followsLink || source.isFolder
        var facts = stat()
        let found = withPath(text) { follows ? stat($0, &facts) : lstat($0, &facts) }
        guard found == 0 else { throw problem("reading", text) }
        guard !source.isFolder || facts.st_mode & S_IFMT == S_IFDIR else {
            throw CoveyError(.invalid, "\(displayed(text)) is no folder")
        }
        let name = source.isContent ? Array(".".utf8) : try source.name()
        if try !entry(at: AT_FDCWD, text, name: name, path: text, facts, follows: follows) {
            throw CoveyError(.invalid, "\(displayed(text)) is a socket, and cannot be copied")
        }
        while !folders.isEmpty {
            guard let next = folders[folders.count - 1].waiting.popLast() else {
                close(folders.removeLast().descriptor)
                continue
            }
            let folder = folders[folders.count - 1]
            let path = folder.path + (folder.path.last == 47 ? [] : [47]) + next
            var facts = stat()
            let found = withPath(next) { fstatat(folder.descriptor, $0, &facts, AT_SYMLINK_NOFOLLOW) }
            if found != 0 {
                // It went between the listing and now.
                if errno == ENOENT { continue }
                throw problem("reading", path)
            }
            let name = folder.name + [47] + next
            if try !entry(at: folder.descriptor, next, name: name, path: path, facts, follows: false) {
                onNote("\(displayed(path)) is a socket and was left out")
            }
        }
        try put(TarHeader.end)
        try flush()
    }

    /// Writes one entry. Returns false for what no archive can hold.
    private func entry(
        at parent: Int32, _ own: [UInt8], name: [UInt8], path: [UInt8], _ facts: stat, follows: Bool
    ) throws -> Bool {
        var entry = TarEntry(
            name: name, kind: .file, mode: facts.st_mode & 0o7777, user: facts.st_uid, group: facts.st_gid,
            seconds: Int64(facts.st_mtim.tv_sec), nanoseconds: options.isExact ? Int64(facts.st_mtim.tv_nsec) : 0)
        switch facts.st_mode & S_IFMT {
        case S_IFREG: try file(at: parent, own, path, facts, &entry, follows: follows)
        case S_IFDIR: try folder(at: parent, own, path, &entry, follows: follows)
        case S_IFLNK:
            var target = [CChar](repeating: 0, count: 4097)
            let length = withPath(own) { readlinkat(parent, $0, &target, 4096) }
            guard length >= 0 else { throw problem("reading", path) }
            entry.kind = .link
            entry.link = target.prefix(length).map { UInt8(bitPattern: $0) }
            try put(TarHeader.bytes(entry))
        case S_IFIFO:
            entry.kind = .pipe
            try put(TarHeader.bytes(entry))
        case S_IFCHR, S_IFBLK:
            var (major, minor): (UInt32, UInt32) = (0, 0)
            covey_device_numbers(facts.st_rdev, &major, &minor)
            let isBlocks = facts.st_mode & S_IFMT == S_IFBLK
            entry.kind = isBlocks ? .blocks(major: major, minor: minor) : .characters(major: major, minor: minor)
            try put(TarHeader.bytes(entry))
        case _: return false
        }
        return true
    }

    private func folder(
        at parent: Int32, _ own: [UInt8], _ path: [UInt8], _ entry: inout TarEntry, follows: Bool
    ) throws {
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follows ? 0 : O_NOFOLLOW)
        let opened = withPath(own) { openat(parent, $0, flags) }
        guard opened >= 0 else { throw problem("reading", path) }
        entry.kind = .folder
        let name = entry.name
        entry.name += [47]
        do {
            entry.attributes = try attributes(opened, path)
            try put(TarHeader.bytes(entry))
            // What the kernel makes up is left alone, unless it was asked for.
            let waiting = !folders.isEmpty && isUnreal(opened) ? [] : Array(try names(in: opened, path).reversed())
            folders.append(Open(descriptor: opened, name: name, path: path, waiting: waiting))
        } catch {
            close(opened)
            throw error
        }
    }

    private func isUnreal(_ descriptor: Int32) -> Bool {
        Packer.unreal.contains(covey_file_system_type(descriptor))
    }

    private func file(
        at parent: Int32, _ own: [UInt8], _ path: [UInt8], _ facts: stat, _ entry: inout TarEntry, follows: Bool
    ) throws {
        if facts.st_nlink > 1 {
            let key = [UInt64(facts.st_dev), UInt64(facts.st_ino)]
            if let first = links[key] {
                entry.kind = .hardLink
                entry.link = first
                return try put(TarHeader.bytes(entry))
            }
            links[key] = entry.name
        }
        let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follows ? 0 : O_NOFOLLOW)
        let opened = withPath(own) { openat(parent, $0, flags) }
        guard opened >= 0 else { throw problem("reading", path) }
        defer { close(opened) }
        var now = stat()
        guard fstat(opened, &now) == 0, now.st_mode & S_IFMT == S_IFREG else {
            throw CoveyError(.conflict, "\(displayed(path)) changed while it was read")
        }
        entry.attributes = try attributes(opened, path)
        entry.size = Int64(now.st_size)
        if now.st_size == 0 && isUnreal(opened) { return try madeUp(opened, path, &entry) }
        let isSparse = Int64(now.st_blocks) * 512 < Int64(now.st_size)
        let pieces = isSparse ? try Packer.pieces(opened, size: entry.size, path) : nil
        entry.pieces = pieces
        try put(TarHeader.bytes(entry))
        var stored: Int64 = 0
        for piece in pieces ?? [.init(offset: 0, length: entry.size)] {
            try copy(opened, piece, path)
            stored += piece.length
        }
        try put([UInt8](repeating: 0, count: TarHeader.padding(after: stored)))
    }

    /// A file whose length the kernel does not know before it is read.
    private func madeUp(_ opened: Int32, _ path: [UInt8], _ entry: inout TarEntry) throws {
        var bytes: [UInt8] = []
        do throws(SystemError) {
            while let part = try readSome(opened), !part.isEmpty, bytes.count < 16 << 20 { bytes += part }
        } catch {
            throw problem("reading", path, errno: error.errno)
        }
        entry.size = Int64(bytes.count)
        try put(TarHeader.bytes(entry))
        try put(bytes)
        try put([UInt8](repeating: 0, count: TarHeader.padding(after: entry.size)))
    }

    /// Where data lies in a file; nil where it has no holes.
    private static func pieces(_ file: Int32, size: Int64, _ path: [UInt8]) throws -> [TarEntry.Piece]? {
        var pieces: [TarEntry.Piece] = []
        var place: Int64 = 0
        while place < size {
            let data = covey_next_data(file, place)
            if data < 0 && errno == ENXIO { break }
            guard data >= 0 else { return nil }
            if data >= size { break }
            let hole = covey_next_hole(file, data)
            guard hole > data else { return nil }
            pieces.append(.init(offset: data, length: min(hole, size) - data))
            place = hole
            if pieces.count == TarReader.mostPieces { return nil }
        }
        return pieces == [.init(offset: 0, length: size)] ? nil : pieces
    }

    private func copy(_ file: Int32, _ piece: TarEntry.Piece, _ path: [UInt8]) throws {
        var place = piece.offset
        let end = piece.offset + piece.length
        while place < end {
            if filled == Packer.capacity { try flush() }
            let room = min(Packer.capacity - filled, Int(min(end - place, Int64(Packer.capacity))))
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<(filled + room)])
            let got = pread(file, target.baseAddress, room, off_t(place))
            if got < 0 && errno == EINTR { continue }
            guard got >= 0 else { throw problem("reading", path) }
            guard got > 0 else { throw CoveyError(.conflict, "\(displayed(path)) became shorter while it was read") }
            filled += got
            place += Int64(got)
        }
    }

    private func attributes(_ file: Int32, _ path: [UInt8]) throws -> [TarEntry.Attribute] {
        // Most files have none: the first look needs no memory.
        guard flistxattr(file, nil, 0) > 0 else { return [] }
        var list = [CChar](repeating: 0, count: 65536)
        let count = flistxattr(file, &list, list.count)
        guard count > 0 else { return [] }
        var found: [TarEntry.Attribute] = []
        for name in list.prefix(count).split(separator: 0).map({ $0.map { UInt8(bitPattern: $0) } }) {
            guard name.starts(with: Array("user.".utf8)) || options.isExact && Packer.exactAttributes.contains(name)
            else { continue }
            var value = [UInt8](repeating: 0, count: 65536)
            let length = withPath(name) { fgetxattr(file, $0, &value, value.count) }
            if length < 0 && errno == ENODATA { continue }
            guard length >= 0 else { throw problem("reading the attributes of", path) }
            found.append(.init(name: name, value: Array(value.prefix(length))))
        }
        return found
    }

    // MARK: output

    private func put(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            if filled == Packer.capacity { try flush() }
            let count = min(rest.count, Packer.capacity - filled)
            rest.prefix(count).withUnsafeBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<(filled + count)]).copyMemory(from: bytes)
            }
            filled += count
            rest = rest.dropFirst(count)
        }
    }

    private func flush() throws {
        var sent = 0
        while sent < filled {
            let rest = UnsafeRawBufferPointer(rebasing: buffer[sent..<filled])
            let put = write(output, rest.baseAddress, rest.count)
            if put < 0 && errno == EINTR { continue }
            guard put > 0 else {
                if errno == EPIPE { throw CoveyError(.unavailable, "nobody reads the archive any more") }
                throw problem("writing", Array("the archive".utf8))
            }
            sent += put
        }
        position += Int64(filled)
        filled = 0
        onProgress(position)
    }
}
