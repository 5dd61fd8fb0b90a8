internal import CArchive
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// An archive or compressed stream read from its front. Belongs to one thread.
///
/// Only the named formats and the filters that libarchive has built in are tried: it would run programs for others.
final class Archive {
    /// What is looked for.
    enum Format { case debian, tar, cpio, raw }

    /// An entry's kind.
    enum Kind { case file, folder, link, other }

    /// One entry's head.
    struct Entry {
        /// The path as written in the archive.
        var path: String
        /// What it is.
        var kind: Kind
        /// The permission bits.
        var mode: UInt32
        /// The content's length in bytes, as the archive says.
        var size: Int64
    }

    private static let end: Int32 = 1
    private static let warning: Int32 = -20

    private let archive: OpaquePointer
    private let subject: String
    // The archive that this one lies in; it must outlive this one's reads.
    private let outer: Archive?

    /// Reads a file from its descriptor's position; the descriptor must outlive the archive.
    convenience init(descriptor: Int32, _ format: Format, subject: String) throws {
        try self.init(format, subject: subject, outer: nil)
        try require(archive_read_open_fd(archive, descriptor, 1 << 18))
    }

    /// Reads bytes, which must outlive the archive.
    convenience init(bytes: UnsafeRawBufferPointer, _ format: Format, subject: String) throws {
        try self.init(format, subject: subject, outer: nil)
        try require(archive_read_open_memory(archive, bytes.baseAddress, bytes.count))
    }

    /// Reads the content of the entry that `outer` stands at.
    convenience init(entryOf outer: Archive, _ format: Format, subject: String) throws {
        try self.init(format, subject: subject, outer: outer)
        let status = archive_read_open(
            archive, Unmanaged.passUnretained(outer).toOpaque(), nil,
            { _, client, buffer in
                guard let client, let buffer else { return -1 }
                let outer = Unmanaged<Archive>.fromOpaque(client).takeUnretainedValue()
                var size = 0
                var offset: Int64 = 0
                buffer.pointee = nil
                let status = archive_read_data_block(outer.archive, buffer, &size, &offset)
                return status == Archive.end ? 0 : status < Archive.warning ? -1 : size
            }, nil)
        try require(status)
    }

    private init(_ format: Format, subject: String, outer: Archive?) throws {
        guard let archive = archive_read_new() else {
            throw CoveyError(.exhausted, "no memory to read \(subject)")
        }
        self.archive = archive
        self.subject = subject
        self.outer = outer
        if format != .debian {
            for status in [
                archive_read_support_filter_gzip(archive), archive_read_support_filter_xz(archive),
                archive_read_support_filter_zstd(archive), archive_read_support_filter_lz4(archive),
            ] where status != 0 {
                throw CoveyError(
                    .unsupported, "this libarchive was built without gzip, xz, zstd or lz4",
                    remedy: "run: apt-get install libarchive13")
            }
        }
        switch format {
        case .debian: try require(archive_read_support_format_ar(archive))
        case .tar: try require(archive_read_support_format_tar(archive))
        case .cpio: try require(archive_read_support_format_cpio(archive))
        case .raw: try require(archive_read_support_format_raw(archive))
        }
    }

    deinit { archive_read_free(archive) }

    /// The next entry; nil at the end.
    func next() throws -> Entry? {
        var entry: OpaquePointer?
        let status = archive_read_next_header(archive, &entry)
        if status == Archive.end { return nil }
        try require(status)
        guard let entry, let path = archive_entry_pathname(entry) else {
            throw CoveyError(.corrupt, "an entry of \(subject) has no readable name")
        }
        let kind: Kind =
            if archive_entry_hardlink(entry) != nil {
                .link
            } else {
                switch archive_entry_filetype(entry) {
                case 0o100000: .file
                case 0o040000: .folder
                case 0o120000: .link
                case _: .other
                }
            }
        return Entry(
            path: String(cString: path), kind: kind, mode: UInt32(archive_entry_perm(entry)),
            size: archive_entry_size(entry))
    }

    /// Gives the current entry's content to `body`, piece by piece, holes as zeros.
    ///
    /// Errors: ``ErrorCode/corrupt`` where it cannot be read or is longer than `limit`.
    func content(limit: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 4096)
        defer { buffer.deallocate() }
        var total = 0
        while true {
            let got = archive_read_data(archive, buffer.baseAddress, buffer.count)
            if got < 0 { throw failure() }
            if got == 0 { return }
            total += got
            guard total <= limit else {
                throw CoveyError(.corrupt, "\(subject) holds more than \(ByteCount(Int64(limit)).rounded)")
            }
            try body(UnsafeRawBufferPointer(rebasing: buffer[..<got]))
        }
    }

    private func require(_ status: Int32) throws {
        if status != 0 && status != Archive.warning { throw failure() }
    }

    private func failure() -> CoveyError {
        let text = archive_error_string(archive).map { String(cString: $0) }
        return CoveyError(
            .corrupt, "\(subject) cannot be read", remedy: "fetch it again: it is damaged or not whole",
            cause: text.map { ToolMessage(description: $0) })
    }
}

/// Writes raw bytes to a blocking descriptor.
func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, _ subject: String) throws(SystemError) {
    var rest = bytes
    while !rest.isEmpty {
        let put = try check("write", subject) { Glibc.write(descriptor, rest.baseAddress, rest.count) }
        rest = UnsafeRawBufferPointer(rebasing: rest[put...])
    }
}
