internal import CoveyModel
internal import CoveySystem

/// Makes an ext4 file from a folder by `mke2fs -d`, the same bytes from the same folder.
struct Ext4Builder {
    /// The volume's label, at most 16 bytes.
    let label: String
    /// The file system's UUID, which also seeds its directory hashes.
    let uuid: String
    /// Whether it is only ever read.
    let readOnly: Bool

    private static let block: Int64 = 4096
    private static let inodeSize: Int64 = 256
    // The host's mke2fs.conf would let two hosts make different images.
    static let configuration = """
        [defaults]
        base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
        default_mntopts = acl,user_xattr
        enable_periodic_fsck = 0
        blocksize = 4096
        inode_size = 256
        inode_ratio = 16384
        [fs_types]
        ext4 = {
        features = extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
        }
        small = {
        inode_size = 256
        }
        big = {
        inode_size = 256
        }
        huge = {
        inode_size = 256
        }
        """

    /// What a folder's content takes in a file system.
    struct Content: Sendable {
        /// Blocks of data and of folders.
        var blocks: Int64 = 0
        /// Files, folders, links, devices.
        var inodes: Int64 = 0
        /// Further names of files that were counted already.
        var furtherNames: Int64 = 0
        /// The paths, from `/`, sorted within each folder.
        var paths: [String] = []
    }

    /// Measures a folder. Blocks.
    static func measure(_ folder: String, _ cancellation: Cancellation) throws -> Content {
        var content = Content()
        var shared: Set<[Int]> = []
        func walk(_ path: String, _ inside: String) throws {
            try cancellation.check()
            let facts = try FileFacts(path)
            content.inodes += 1
            if facts.kind != .folder, facts.links > 1, !shared.insert(facts.identity).inserted {
                content.furtherNames += 1
            }
            content.paths.append(inside.isEmpty ? "/" : inside)
            switch facts.kind {
            case .folder:
                let names = try listFolder(path)
                content.blocks += 1 + Int64(names.reduce(0) { $0 + $1.utf8.count + 16 }) / block
                for name in names { try walk("\(path)/\(name)", "\(inside)/\(name)") }
            case .file: content.blocks += (facts.size + block - 1) / block
            case .link: content.blocks += facts.size < 60 ? 0 : 1
            case .other: break
            }
        }
        try walk(folder, "")
        return content
    }

    /// The smallest size that holds a content, with a little slack.
    static func tightSize(of content: Content) -> ByteCount {
        let inodes = (content.inodes + 64) * inodeSize / block
        let blocks = (content.blocks + inodes) * 101 / 100 + 512
        return ByteCount((blocks + 255) / 256 * 256 * block)
    }

    /// Makes the file.
    ///
    /// - Parameters:
    ///   - target: The file; what is there is replaced.
    ///   - folder: Its content.
    ///   - size: The file system's size; the file is sparse.
    ///   - inodes: How many inodes it has.
    ///   - options: Further options of mke2fs.
    /// - Throws: ``ErrorCode/exhausted`` where the disk is full.
    func make(
        _ target: String, from folder: String, size: ByteCount, inodes: Int64, options: [String] = [],
        pool: BlockingPool
    ) async throws {
        let settings = "\(target).mke2fs.conf"
        let tool = Tool.mke2fs
        _ = try tool.path()
        try await pool.run { @Sendable () throws in
            try removeFile(target)
            try writeFileAtomically(settings, Array(Ext4Builder.configuration.utf8))
        }
        let arguments =
            [
                "-q", "-F", "-t", "ext4", "-L", label, "-U", uuid, "-m", "0", "-N", String(inodes),
                // What is never written to neither needs a journal nor grows.
                "-O", readOnly ? "^has_journal,^resize_inode" : "has_journal",
                "-E", "hash_seed=\(uuid),root_owner=0:0,assume_storage_prezeroed=1", "-d", folder,
            ] + options + [target, "\(size.bytes / 1024)k"]
        do {
            try await tool.run(
                arguments,
                environment: ["MKE2FS_CONFIG": settings, "E2FSPROGS_FAKE_TIME": "1", "SOURCE_DATE_EPOCH": "1"],
                limit: .seconds(600))
            try await pool.run { @Sendable () throws in try removeFile(settings) }
        } catch {
            throw FreeSpace.explain(error, in: parentFolder(target), doing: "making a disk image")
        }
    }

    /// Sets every inode's times of change and access to one second after 1970, by their numbers, so that the file depends
    /// on nothing but names, content and the times of content. mke2fs gives numbers in order: the root has the second,
    /// `lost+found` the eleventh, and all else follows.
    func settleAllTimes(_ target: String, _ content: Content, script: String, pool: BlockingPool) async throws {
        let last = 10 + content.inodes - content.furtherNames
        try await pool.run { @Sendable () throws in
            var lines: [UInt8] = []
            for inode in [2] + Array(11...max(11, last)) {
                for field in ["ctime", "atime"] {
                    lines += "set_inode_field <\(inode)> \(field) 19700101000001\n".utf8
                    lines += "set_inode_field <\(inode)> \(field)_extra 0\n".utf8
                }
            }
            try writeFileAtomically(script, lines)
        }
        try await Tool.debugfs.run(
            ["-w", "-f", script, target], environment: ["E2FSPROGS_FAKE_TIME": "1"], limit: .seconds(600),
            outputLimit: 1 << 30)
        try await pool.run { @Sendable () throws in try removeFile(script) }
    }

    /// Sets every inode's change time, which mke2fs takes from the folder, to one second after 1970,
    /// so that the file depends on nothing but names and content.
    func settleTimes(_ target: String, _ content: Content, script: String, pool: BlockingPool) async throws {
        let lines = (content.paths + ["/lost+found"]).map { path in
            "set_inode_field \"\(path.map { $0 == "\"" ? "\"\"" : String($0) }.joined())\" ctime 19700101000001\n"
        }
        try await pool.run { @Sendable () throws in try writeFileAtomically(script, Array(lines.joined().utf8)) }
        try await Tool.debugfs.run(
            ["-w", "-f", script, target], environment: ["E2FSPROGS_FAKE_TIME": "1"], limit: .seconds(60))
        try await pool.run { @Sendable () throws in try removeFile(script) }
    }
}
