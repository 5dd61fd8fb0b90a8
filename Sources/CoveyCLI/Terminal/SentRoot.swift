internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// A root file system that is sent: a file with its holes, or a folder as an archive.
final class SentRoot: Sendable {
    private enum Content {
        case file(SparseFile)
        case tree(RootArchive)
    }

    /// The file's or folder's own name.
    let name: String
    private let content: Content

    /// Opens a file or folder. Errors: ``ErrorCode/notFound``, ``ErrorCode/invalid``.
    init(_ path: String) throws {
        let absolute: String
        if let resolved = realpath(path, nil) {
            absolute = String(cString: resolved)
            free(resolved)
        } else {
            guard errno == ENOENT else { throw SystemError("realpath", path).coveyError }
            throw CoveyError(
                .notFound, "there is no file or folder \(path)", remedy: "name an ext4, qcow2 or tar file, or a folder")
        }
        name = absolute.split(separator: "/").last.map { String($0) } ?? "root"
        do throws(SystemError) {
            content =
                try FileFacts(absolute).kind == .folder ? .tree(RootArchive(absolute)) : .file(SparseFile(absolute))
        } catch {
            throw error.coveyError
        }
    }

    /// The next piece; nil at the end.
    func next() async throws -> FilePiece? {
        switch content {
        case .file(let file): try await file.next()
        case .tree(let tree): try await tree.next().map { .bytes($0) }
        }
    }
}

/// A file read piece by piece; its holes are not read.
private final class SparseFile: Sendable {
    private static let piece: Int64 = 1 << 20

    private let file: FileDescriptor
    private let size: Int64
    private let offset = Mutex<Int64>(0)
    private let path: String
    private let pool = BlockingPool("covey-file")

    init(_ path: String) throws(SystemError) {
        self.path = path
        let opened = try openFile(path, [.readOnly, .nonBlocking])
        let facts = try FileFacts(descriptor: opened.raw)
        guard facts.kind == .file else { throw SystemError("open", path, errno: EINVAL) }
        file = opened
        size = facts.size
    }

    func next() async throws -> FilePiece? {
        let start = offset.withLock { $0 }
        guard start < size else { return nil }
        let piece = try await pool.run { try self.read(at: start) }
        offset.withLock { offset in
            switch piece {
            case .bytes(let bytes): offset += Int64(bytes.count)
            case .zeros(let count): offset += count
            }
        }
        return piece
    }

    private func read(at start: Int64) throws -> FilePiece {
        // SEEK_DATA: where the next byte lies that is no hole; none is left where there is no such address.
        let data = lseek(file.raw, off_t(start), 3)
        if data < 0 && errno == ENXIO { return .zeros(size - start) }
        if data > start { return .zeros(Int64(data) - start) }
        var bytes = [UInt8](repeating: 0, count: Int(min(SparseFile.piece, size - start)))
        let got = try bytes.withUnsafeMutableBytes { buffer in
            try check("pread", path) { pread(file.raw, buffer.baseAddress, buffer.count, off_t(start)) }
        }
        guard got > 0 else { throw CoveyError(.conflict, "\(path) changed while it was read") }
        return .bytes(Array(bytes.prefix(got)))
    }
}
