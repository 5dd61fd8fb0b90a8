internal import CCovey
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Copies of whole files, by shared blocks or byte by byte. All calls block.
package enum FileCopy {
    /// How a copy is made.
    package enum Manner: Hashable, Sendable {
        /// Both files share their blocks; the file system does it, or refuses.
        case shared
        /// The bytes are copied, and holes stay holes.
        case sparse
    }

    /// Copies a file's content into another, new and empty.
    ///
    /// - Parameter isCancelled: Asked now and then; a copy that is given up ends with `CancellationError`.
    /// - Throws: ``ErrorCode/unsupported`` where the file system cannot share blocks; ``SystemError``.
    package static func copy(
        _ source: String, to target: String, _ manner: Manner, isCancelled: () -> Bool = { false }
    ) throws {
        let from = try openFile(source, .readOnly)
        let to = try openFile(target, [.readWrite, .create, .truncate, .noFollow])
        let size = try FileFacts(descriptor: from.raw).size
        switch manner {
        case .shared:
            if covey_clone_file(to.raw, from.raw) != 0 { throw refusal(SystemError("ioctl FICLONE", target)) }
        case .sparse:
            try check("ftruncate", target) { ftruncate(to.raw, off_t(size)) }
            try copyData(from.raw, to.raw, size: size, source, target, isCancelled)
        }
        // A disk that is there by name must hold its content also after a power cut.
        try check("fdatasync", target) { fdatasync(to.raw) }
        try to.close()
    }

    private static func refusal(_ error: SystemError) -> any Error {
        switch error.errno {
        case EXDEV:
            CoveyError(.unsupported, "image and disk lie on different file systems", remedy: FileCopy.remedy)
        case EOPNOTSUPP, ENOTTY, EINVAL, ENOSYS:
            CoveyError(.unsupported, "the file system cannot share blocks between files", remedy: FileCopy.remedy)
        case _: error
        }
    }

    private static let remedy = "put the daemon's root on XFS or btrfs, or use disk.strategy: auto"

    private static func copyData(
        _ from: Int32, _ to: Int32, size: Int64, _ source: String, _ target: String, _ isCancelled: () -> Bool
    ) throws {
        var position: Int64 = 0
        while position < size {
            let start = covey_next_data(from, position)
            if start < 0 && errno == ENXIO { return }
            try check("lseek", source) { start }
            let end = try check("lseek", source) { covey_next_hole(from, start) }
            try copyRange(from, to, start..<min(end, size), target, isCancelled)
            position = end
        }
    }

    private static func copyRange(
        _ from: Int32, _ to: Int32, _ range: Range<Int64>, _ target: String, _ isCancelled: () -> Bool
    ) throws {
        var position = range.lowerBound
        while position < range.upperBound {
            if isCancelled() { throw CancellationError() }
            let count = min(Int(range.upperBound - position), 8 << 20)
            let done = covey_copy_range(from, to, position, count)
            if done > 0 {
                position += Int64(done)
            } else if done < 0 && ![EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EINTR].contains(errno) {
                throw SystemError("copy_file_range", target)
            } else if done == 0 || errno != EINTR {
                // Not for these two file systems: by hand.
                position += Int64(try copyBytes(from, to, position, min(count, 1 << 20), target))
            }
        }
    }

    private static func copyBytes(
        _ from: Int32, _ to: Int32, _ position: Int64, _ count: Int, _ target: String
    ) throws -> Int {
        var buffer = [UInt8](repeating: 0, count: count)
        let got = try check("pread", target) { pread(from, &buffer, count, off_t(position)) }
        guard got > 0 else { throw SystemError("pread", target, errno: EIO) }
        var put = 0
        while put < got {
            put += try buffer.withUnsafeBytes { bytes in
                try check("pwrite", target) {
                    pwrite(to, bytes.baseAddress.map { $0 + put }, got - put, off_t(position) + off_t(put))
                }
            }
        }
        return got
    }
}
