internal import CoveyModel
internal import CoveySystem
internal import Glibc

extension Ext4Builder {
    /// Makes an empty file system in a sparse file of its size; inode tables are left to the first mount.
    ///
    /// Errors: ``ErrorCode/exhausted`` where the disk is full.
    func makeEmpty(_ target: String, size: ByteCount, pool: BlockingPool) async throws {
        let settings = "\(target).mke2fs.conf"
        let tool = Tool.mke2fs
        _ = try tool.path()
        try await pool.run { @Sendable () throws in
            try writeFileAtomically(settings, Array(Ext4Builder.configuration.utf8))
        }
        do {
            try await tool.run(
                [
                    "-q", "-F", "-t", "ext4", "-L", label, "-U", uuid, "-m", "0", "-O", "has_journal",
                    "-E", "root_owner=0:0,assume_storage_prezeroed=1", target, "\(size.bytes / 1024)k",
                ], environment: ["MKE2FS_CONFIG": settings], limit: .seconds(600))
            try await pool.run { @Sendable () throws in try removeFile(settings) }
        } catch {
            let failure = FreeSpace.explain(error, in: parentFolder(target), doing: "making a file system")
            try await pool.run { @Sendable () throws in try removeFile(settings) }
            throw failure
        }
    }
}

/// What the superblock of an ext4 says.
enum Ext4Superblock {
    private static let offset = 1024
    private static let magic: [UInt8] = [0x53, 0xEF]
    /// `INCOMPAT_RECOVER`: the journal has to be played back.
    private static let recover: UInt8 = 0x04

    /// Whether a file holds an ext4 whose journal has to be played back.
    static func needsRecovery(_ file: Int32, _ path: String) throws(SystemError) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 1024)
        let got = try check("pread", path) { pread(file, &bytes, bytes.count, off_t(offset)) }
        return got == bytes.count && Array(bytes[0x38..<0x3A]) == magic && bytes[0x60] & recover != 0
    }
}
