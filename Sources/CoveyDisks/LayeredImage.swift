internal import CoveyImages
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// An image of layers: fetched, unpacked, and written into a file system with room to grow.
struct LayeredImage {
    let layers: any LayeredImages
    let pool: BlockingPool

    private static let room = ByteCount.mebibytes(80)
    private static let inodes: Int64 = 16384
    /// Folders that the machine mounts over, and that images of a single program lack.
    private static let places = ["dev", "proc", "run", "sys", "tmp"]

    /// Makes the ext4 file. Errors: as ``LayeredImages/pull(_:into:progress:)``.
    func make(
        _ target: String, in staging: String, _ pull: RegistryPull, _ progress: @escaping ProgressHandler
    ) async throws -> UnpackedImage {
        let root = "\(staging)/root"
        try await pool.run { @Sendable () throws in try makeFolder(root) }
        let unpacked = try await layers.pull(pull, into: root, progress: progress)
        try await write(target, from: root, as: unpacked.origin.manifestDigest, progress)
        return unpacked
    }

    /// Makes the ext4 file of the image that an archive holds; nil where it holds none.
    func make(
        _ target: String, in staging: String, archive: String, name: String, _ progress: @escaping ProgressHandler
    ) async throws -> UnpackedImage? {
        let root = "\(staging)/root"
        try await pool.run { @Sendable () throws in try makeFolder(root) }
        let unpacked = try await layers.take(archive: archive, name: name, into: root, progress: progress)
        guard let unpacked else {
            try await pool.run { @Sendable () throws in try removeTree(root) }
            return nil
        }
        try await write(target, from: root, as: unpacked.origin.manifestDigest, progress)
        return unpacked
    }

    /// Writes a tree into a file system: its content, a quarter more, and some.
    func write(
        _ target: String, from root: String, as digest: String, _ progress: @escaping ProgressHandler
    ) async throws {
        progress("image", nil, nil, nil)
        let content = try await pool.run { cancellation in
            try LayeredImage.makePlaces(root)
            return try Ext4Builder.measure(root, cancellation)
        }
        let tight = Ext4Builder.tightSize(of: content).bytes
        let mebibyte: Int64 = 1 << 20
        let size = (tight * 5 / 4 + LayeredImage.room.bytes + mebibyte - 1) / mebibyte * mebibyte
        let builder = Ext4Builder(label: "covey-image", uuid: LayeredImage.uuid(of: digest), readOnly: false)
        try await builder.make(
            target, from: root, size: ByteCount(size),
            inodes: content.inodes * 5 / 4 + LayeredImage.inodes, options: ["-J", "size=16"], pool: pool)
        try await builder.settleAllTimes(target, content, script: "\(target).times", pool: pool)
        try await pool.run { @Sendable () throws in try removeTree(root) }
    }

    /// Makes what is missing of the places, with the root's own times left as they are.
    private static func makePlaces(_ root: String) throws {
        var information = stat()
        try check("lstat", root) { lstat(root, &information) }
        let times = [information.st_atim, information.st_mtim]
        for name in places where !fileExists("\(root)/\(name)") {
            let path = "\(root)/\(name)"
            try makeFolder(path)
            try check("chmod", path) { chmod(path, name == "tmp" ? 0o1777 : 0o755) }
            try setFileTimes(path, secondsSince1970: 0)
        }
        try check("utimensat", root) { utimensat(AT_FDCWD, root, times, AT_SYMLINK_NOFOLLOW) }
    }

    /// The same file system for the same manifest.
    private static func uuid(of digest: String) -> String {
        let digits = Array(digest.drop { $0 != ":" }.dropFirst().prefix(32))
        guard digits.count == 32 else { return "636f7665-792d-6f63-6900-000000000001" }
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: "-")
    }
}
