internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A local file, read in pieces.
final class SentFile: Sendable {
    static let piece = 1 << 20

    private let file: FileDescriptor
    private let pool = BlockingPool("covey-file")

    /// Opens a regular file. Errors: ``ErrorCode/notFound``, ``ErrorCode/invalid`` for anything but a file.
    init(_ path: String) throws {
        do {
            file = try openFile(path, [.readOnly, .nonBlocking])
        } catch {
            guard error.isErrno(ENOENT) else { throw error.coveyError }
            throw CoveyError(
                .notFound, "there is no file \(path)", remedy: "name debian, a .deb, a bzImage or an ELF file")
        }
        guard try FileFacts(descriptor: file.raw).kind == .file else {
            throw CoveyError(.invalid, "\(path) is no file", remedy: "name debian, a .deb, a bzImage or an ELF file")
        }
    }

    /// The next piece; nil at the end.
    func next() async throws -> [UInt8]? {
        let descriptor = file.raw
        let bytes = try await pool.run { try readSome(descriptor, limit: SentFile.piece) }
        guard let bytes, !bytes.isEmpty else { return nil }
        return bytes
    }
}
