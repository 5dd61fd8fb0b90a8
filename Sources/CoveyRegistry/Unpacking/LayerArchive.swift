internal import CArchive
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A layer's entries, read from its front: tar, plain or compressed by gzip or zstd. Belongs to one thread.
///
/// libarchive would run programs for other filters: only these are tried.
final class LayerArchive {
    /// What an entry is.
    enum Kind: Hashable, Sendable {
        case file
        case folder
        case symbolicLink(to: [UInt8])
        case hardLink(to: [UInt8])
        case device(isBlock: Bool, major: UInt32, minor: UInt32)
        case pipe
    }

    /// An entry's head.
    struct Entry: Sendable {
        var path: [UInt8]
        var kind: Kind
        var mode: UInt32
        var user: UInt32
        var group: UInt32
        var size: Int64
        var modified: (seconds: Int, nanoseconds: Int)
        var attributes: [(name: [CChar], value: [UInt8])]
    }

    private static let end: Int32 = 1
    private static let warning: Int32 = -20
    private static let block = 1 << 17
    private static let record = 512

    private let archive: OpaquePointer
    private let stream: OpaquePointer
    private let name: String
    private var streamed = 0
    private var padding: UnsafeMutableRawBufferPointer?

    /// Reads a file from its descriptor's position; the descriptor must outlive the archive.
    init(descriptor: Int32, name: String) throws {
        guard let stream = archive_read_new() else { throw CoveyError(.exhausted, "no memory to read \(name)") }
        guard let archive = archive_read_new() else {
            archive_read_free(stream)
            throw CoveyError(.exhausted, "no memory to read \(name)")
        }
        self.archive = archive
        self.stream = stream
        self.name = name
        for status in [
            archive_read_support_filter_gzip(stream), archive_read_support_filter_zstd(stream),
            // No layer's, but a root file system's archive may be.
            archive_read_support_filter_xz(stream),
            archive_read_support_format_raw(stream), archive_read_support_format_empty(stream),
            archive_read_support_format_tar(archive),
        ] where status != 0 {
            throw CoveyError(
                .unsupported, "this libarchive was built without gzip or zstd",
                remedy: "run: apt-get install libarchive13")
        }
        try require(archive_read_open_fd(stream, descriptor, LayerArchive.block))
        // A stream within a stream within a stream is how a bomb of a few bytes is made.
        guard archive_filter_count(stream) <= 2 else {
            throw CoveyError(
                .corrupt, "\(name) is compressed more than once", remedy: "do not use this image, or ask its publisher")
        }
        var entry: OpaquePointer?
        let first = archive_read_next_header(stream, &entry)
        if first != LayerArchive.end { try require(first) }
        try require(
            archive_read_open(
                archive, Unmanaged.passUnretained(self).toOpaque(), nil,
                { _, client, buffer in
                    guard let client, let buffer else { return -1 }
                    return Unmanaged<LayerArchive>.fromOpaque(client).takeUnretainedValue().read(buffer)
                }, nil))
    }

    deinit {
        archive_read_free(archive)
        archive_read_free(stream)
        padding?.deallocate()
    }

    /// Gives libarchive the next bytes of the tar, and behind their end what a tar ends with: some tools leave it out,
    /// and docker takes their layers.
    private func read(_ buffer: UnsafeMutablePointer<UnsafeRawPointer?>) -> Int {
        var size = 0
        var offset: Int64 = 0
        if padding != nil { return 0 }
        var status: Int32 = 0
        repeat { status = archive_read_data_block(stream, buffer, &size, &offset) } while status == 0 && size == 0
        if status == 0 || (status == LayerArchive.warning && size > 0) {
            streamed += size
            return size
        }
        guard status == LayerArchive.end else { return -1 }
        let missing = (LayerArchive.record - streamed % LayerArchive.record) % LayerArchive.record
        let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: missing + 2 * LayerArchive.record, alignment: 16)
        zeros.initializeMemory(as: UInt8.self, repeating: 0)
        padding = zeros
        buffer.pointee = UnsafeRawPointer(zeros.baseAddress)
        return zeros.count
    }

    /// Bytes of the file that have been read.
    var consumed: Int64 { archive_filter_bytes(stream, -1) }

    /// The next entry; nil at the end. Errors: ``ErrorCode/corrupt``.
    func next(attributeLimit: Int) throws -> Entry? {
        var pointer: OpaquePointer?
        let status = archive_read_next_header(archive, &pointer)
        if status == LayerArchive.end { return nil }
        try require(status)
        guard let entry = pointer, let path = bytes(archive_entry_pathname(entry)) else {
            throw corrupt("has an entry without a name")
        }
        return Entry(
            path: path, kind: try kind(entry), mode: UInt32(archive_entry_perm(entry)) & 0o7777,
            user: try identity(archive_entry_uid(entry)), group: try identity(archive_entry_gid(entry)),
            size: archive_entry_size(entry),
            modified: (Int(archive_entry_mtime(entry)), Int(archive_entry_mtime_nsec(entry))),
            attributes: try attributes(entry, limit: attributeLimit))
    }

    /// Gives the current entry's content to `body`, piece by piece with its offset; what is between them are holes.
    func content(_ body: (_ offset: Int64, UnsafeRawBufferPointer) throws -> Void) throws {
        while true {
            var pointer: UnsafeRawPointer?
            var size = 0
            var offset: Int64 = 0
            let status = archive_read_data_block(archive, &pointer, &size, &offset)
            if status == LayerArchive.end { return }
            try require(status)
            guard size > 0 else { continue }
            try body(offset, UnsafeRawBufferPointer(start: pointer, count: size))
        }
    }

    private func kind(_ entry: OpaquePointer) throws -> Kind {
        if let target = bytes(archive_entry_hardlink(entry)) { return .hardLink(to: target) }
        let type = UInt32(archive_entry_filetype(entry))
        switch type {
        case 0o100000: return .file
        case 0o040000: return .folder
        case 0o120000:
            guard let target = bytes(archive_entry_symlink(entry)), !target.isEmpty else {
                throw corrupt("has a symbolic link to nothing")
            }
            return .symbolicLink(to: target)
        case 0o060000, 0o020000:
            return .device(
                isBlock: type == 0o060000, major: UInt32(truncatingIfNeeded: archive_entry_rdevmajor(entry)),
                minor: UInt32(truncatingIfNeeded: archive_entry_rdevminor(entry)))
        case 0o010000: return .pipe
        case let other: throw corrupt("has an entry of the unknown kind \(String(other, radix: 8))")
        }
    }

    private func attributes(_ entry: OpaquePointer, limit: Int) throws -> [(name: [CChar], value: [UInt8])] {
        guard archive_entry_xattr_reset(entry) > 0 else { return [] }
        var list: [(name: [CChar], value: [UInt8])] = []
        var total = 0
        while true {
            var name: UnsafePointer<CChar>?
            var value: UnsafeRawPointer?
            var size = 0
            guard archive_entry_xattr_next(entry, &name, &value, &size) == 0 else { return list }
            guard let text = bytes(name) else { continue }
            total += text.count + size
            guard total <= limit else {
                throw corrupt("has more than \(limit) bytes of extended attributes on one file")
            }
            list.append((text.cString, value.map { Array(UnsafeRawBufferPointer(start: $0, count: size)) } ?? []))
        }
    }

    private func identity(_ number: Int64) throws -> UInt32 {
        guard let value = UInt32(exactly: number), value != .max else { throw corrupt("has an owner \(number)") }
        return value
    }

    private func bytes(_ text: UnsafePointer<CChar>?) -> [UInt8]? {
        text.map { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
    }

    private func require(_ status: Int32) throws {
        if status == 0 || status == LayerArchive.warning { return }
        let failed = archive_errno(stream) != 0 ? stream : archive
        let text = archive_error_string(failed).map { String(cString: $0) }
        throw corrupt("cannot be read" + (text.map { ": \($0)" } ?? ""))
    }

    private func corrupt(_ why: String) -> CoveyError {
        CoveyError(.corrupt, "\(name) \(why)", remedy: "do not use this image, or ask the one who published it")
    }
}
