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
