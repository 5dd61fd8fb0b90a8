internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Checks a file system that nobody vouches for.
struct FileSystemCheck {
    let subject: String
    let pool: BlockingPool

    private static let limit = Duration.seconds(900)

    /// Brings what waits in its journal in, and expects it to be whole.
    ///
    /// Errors: ``ErrorCode/corrupt`` where it is cut off or damaged.
    func run(_ path: String) async throws {
        let subject = subject
        let superblock = try await pool.run { _ -> Ext4Superblock in
            let file = try openFile(path, [.readWrite, .noFollow])
            let head = try readSome(file.raw, limit: Ext4Superblock.needed) ?? []
            let superblock = try head.withUnsafeBytes { try Ext4Superblock($0, subject: subject) }
            let size = try FileFacts(descriptor: file.raw, path).size
            guard superblock.size.bytes <= size else {
                throw CoveyError(
                    .corrupt,
                    "\(subject) is cut off: its file system has \(superblock.size.rounded), and \(ByteCount(size).rounded) are there",
                    remedy: "fetch or copy it again")
            }
            // A disk has whole sectors.
            if size % 4096 != 0 {
                try check("ftruncate", path) { ftruncate(file.raw, off_t((size / 4096 + 1) * 4096)) }
            }
            return superblock
        }
        if superblock.needsRecovery {
            try await ask(["-p", "-E", "journal_only", Tool.confinedPath(0)], reading: [], writing: path)
        }
        try await ask(["-f", "-n", Tool.confinedPath(0)], reading: [path], writing: nil)
    }

    private func ask(_ arguments: [String], reading: [String], writing: String?) async throws {
        do {
            try await Tool.e2fsck.runConfined(
                arguments, reading: reading, writing: writing, limit: FileSystemCheck.limit, pool: pool)
        } catch let error as CoveyError where error.code == .failure {
            throw CoveyError(
                .corrupt, "the file system in \(subject) is damaged", remedy: "repair it first: e2fsck -f", cause: error
            )
        }
    }
}
