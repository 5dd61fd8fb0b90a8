internal import CoveyImages
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Makes an image of a tar archive of a root file system.
struct ArchivedRoot {
    let layers: any LayeredImages
    let pool: BlockingPool

    /// Makes the ext4 file. Errors: as ``LayeredImages/unpack(_:name:into:progress:)``.
    func make(
        _ target: String, of file: String, name: String, in staging: String, _ progress: @escaping ProgressHandler
    ) async throws {
        let root = "\(staging)/root"
        try await pool.run { @Sendable () throws in try makeFolder(root, mode: 0o755) }
        progress("unpack", nil, nil, nil)
        try await layers.unpack(file, name: name, into: root, progress: progress)
        let digest = try await pool.run { cancellation in
            try hoist(root)
            return try Digest.file(file, cancellation)
        }
        try await LayeredImage(layers: layers, pool: pool).write(target, from: root, as: digest, progress)
    }

    /// Takes away a single folder that holds the whole root, as `tar cf root.tar rootfs/` makes it.
    private func hoist(_ root: String) throws {
        let names = try listFolder(root)
        guard names.count == 1, let only = names.first, !["bin", "usr", "sbin", "etc"].contains(only),
            try FileFacts("\(root)/\(only)").kind == .folder,
            ["bin", "usr", "sbin"].contains(where: { fileExists("\(root)/\(only)/\($0)") })
        else { return }
        let inner = "\(root).inner"
        try check("rename", inner) { rename("\(root)/\(only)", inner) }
        try removeTree(root)
        try check("rename", root) { rename(inner, root) }
    }
}
