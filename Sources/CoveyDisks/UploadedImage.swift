internal import CoveyImages
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// What a file that somebody sent turned out to be, by its content.
enum DiskImageFile: Equatable {
    case fileSystem
    case qcow2(Qcow2Header)
    case partitioned(PartitionTable)
    case archive
    case compressed

    /// Bytes from the file's start that tell.
    static let needed = PartitionTable.needed

    /// Looks at a file's first bytes. Errors: ``ErrorCode/invalid``, ``ErrorCode/unsupported``.
    init(_ head: UnsafeRawBufferPointer, size: ByteCount, subject: String) throws(CoveyError) {
        if Qcow2Header.recognises(head) {
            self = .qcow2(try Qcow2Header(head, subject: subject))
        } else if Ext4Superblock.recognises(head) {
            self = .fileSystem
        } else if head.holds(Array("ustar".utf8), at: 257) {
            self = .archive
        } else if DiskImageFile.packings.contains(where: { head.holds($0) }) {
            self = .compressed
        } else if let table = PartitionTable(head, size: size) {
            self = .partitioned(table)
        } else {
            throw DiskImageFile.refusal(head, subject)
        }
    }

    // gzip, zstd, xz.
    private static let packings: [[UInt8]] = [
        [0x1F, 0x8B], [0x28, 0xB5, 0x2F, 0xFD], [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00],
    ]

    private static func refusal(_ head: UnsafeRawBufferPointer, _ subject: String) -> CoveyError {
        let others: [(String, [UInt8], Int)] = [
            ("an XFS file system", Array("XFSB".utf8), 0), ("a btrfs file system", Array("_BHRfS_M".utf8), 0x10040),
            ("a squashfs file system", Array("hsqs".utf8), 0), ("an ISO 9660 image", Array("CD001".utf8), 0x8001),
            ("a VMDK disk", Array("KDMV".utf8), 0), ("a VHDX disk", Array("vhdxfile".utf8), 0),
            ("a program", [0x7F, 0x45, 0x4C, 0x46], 0), ("a zip archive", Array("PK".utf8) + [3, 4], 0),
        ]
        let accepted = "give an ext4 file, a qcow2 disk, a tar archive (plain, gzip, xz, zstd) or a folder"
        if head.isEmpty { return CoveyError(.invalid, "\(subject) is empty", remedy: accepted) }
        if let (what, _, _) = others.first(where: { head.holds($0.1, at: $0.2) }) {
            return CoveyError(.unsupported, "\(subject) is \(what)", remedy: accepted)
        }
        return CoveyError(.invalid, "\(subject) is no root file system", remedy: accepted)
    }
}

/// Makes an image of a file that somebody sent: ext4 as it is, the root partition of a disk, or a tree of an archive.
struct UploadedImage {
    /// What unpacks archives; nil where nothing does.
    let layers: (any LayeredImages)?
    let pool: BlockingPool

    /// The largest disk that is taken.
    static let largest = ByteCount.gibibytes(256)
    private static let convertLimit = Duration.seconds(3600)
    private static let headSize = 0x10100

    /// Makes the ext4 file at `target`. Errors: ``ErrorCode/invalid``, ``ErrorCode/corrupt``,
    /// ``ErrorCode/unsupported`` for another content, ``ErrorCode/exhausted`` above the limits.
    func make(
        _ target: String, of file: String, name: String, _ choices: ImageChoices, in staging: String,
        _ progress: @escaping ProgressHandler
    ) async throws -> ImageConfiguration {
        try await place(file, at: target, name, in: staging, progress)
        progress("check", nil, nil, nil)
        try await FileSystemCheck(subject: name, pool: pool).run(target)
        return try await RootConfiguration.find(in: Ext4Reader(target, pool: pool), choices, subject: name)
    }

    private func place(
        _ file: String, at target: String, _ name: String, in staging: String, _ progress: @escaping ProgressHandler
    ) async throws {
        progress("convert", nil, nil, nil)
        switch try await look(file, name) {
        case .fileSystem:
            try await pool.run { _ in
                // One content under two names until the upload goes; where it lies on another file system, a copy.
                if Glibc.link(file, target) == 0 { return }
                guard errno == EXDEV else { throw SystemError("link", target) }
                try SparseCopy.file(file, to: target)
            }
        case .qcow2(let header):
            try header.requireAlone(name)
            guard header.size <= UploadedImage.largest else { throw tooLarge(name) }
            let raw = "\(staging)/disk.raw"
            try await flatten(
                "qcow2", [file], "{\"driver\":\"qcow2\",\"file\":\(UploadedImage.node(0))}", to: raw, size: header.size,
                name)
            try await place(raw, at: target, name, in: staging, progress)
            try await pool.run { _ in try removeFile(raw) }
        case .partitioned(let table): try await takeRoot(of: table, file, target, name)
        case .compressed: try await unpack(file, at: target, name, in: staging, progress)
        case .archive: try await unpackTree(file, at: target, name, in: staging, progress)
        }
    }

    private func look(_ file: String, _ name: String) async throws -> DiskImageFile {
        try await pool.run { _ in
            let opened = try openFile(file, [.readOnly, .noFollow])
            let size = try FileFacts(descriptor: opened.raw, file).size
            let head = try readSome(opened.raw, limit: UploadedImage.headSize) ?? []
            return try head.withUnsafeBytes { try DiskImageFile($0, size: ByteCount(size), subject: name) }
        }
    }

    /// Writes a disk's content to a sparse raw file.
    private func flatten(
        _ format: String, _ files: [String], _ source: String, to target: String, size: ByteCount, _ name: String
    ) async throws {
        try await pool.run { _ in
            let made = try openFile(target, [.writeOnly, .create, .exclusive])
            try check("ftruncate", target) { ftruncate(made.raw, off_t(size.bytes)) }
        }
        do {
            try await Tool.qemuImage.runConfined(
                [
                    "convert", "-n", "--target-is-zero", "-O", "raw", "-S", "4k", "json:\(source)",
                    Tool.confinedPath(files.count),
                ], reading: files, writing: target, limit: UploadedImage.convertLimit, pool: pool)
        } catch let error as CoveyError where error.code == .failure {
            let explained = FreeSpace.explain(error, in: parentFolder(target), doing: "converting \(name)")
            if (explained as? CoveyError)?.code == .exhausted { throw explained }
            throw CoveyError(
                .corrupt, "\(name) cannot be read as \(format)", remedy: "look at it: qemu-img check \(name)",
                cause: error)
        }
    }

    /// A file among those of a confined tool as QEMU's block layer names it.
    static func node(_ index: Int) -> String {
        "{\"driver\":\"file\",\"locking\":\"off\",\"filename\":\"\(Tool.confinedPath(index))\"}"
    }

    /// Writes the content of a machine's disk. How its bytes lie is what its store says: a guest may write into a raw
    /// disk whatever begins like another format.
    func flatten(_ disk: RootDisk, over image: StoredImage, to target: String, vm: String) async throws {
        let size = try await pool.run { _ -> ByteCount in
            let opened = try openFile(disk.path, disk.isDevice ? .readOnly : [.readOnly, .noFollow])
            switch disk.format {
            case .raw:
                let end = try check("lseek", disk.path) { lseek(opened.raw, 0, SEEK_END) }
                return ByteCount(Int64(end))
            case .qcow2:
                let head = try readSome(opened.raw, limit: 4096) ?? []
                return try head.withUnsafeBytes { head in
                    let header = try Qcow2Header(head, subject: "the disk of vm \(vm)")
                    // What ran as the machine could have written another name there.
                    guard !header.hasDataFile, !header.isEncrypted, Qcow2Header.backing(head) == image.path else {
                        throw CoveyError(.corrupt, "the disk of vm \(vm) does not stand on its image")
                    }
                    return header.size
                }
            }
        }
        let raw = { "{\"driver\":\"raw\",\"file\":\(UploadedImage.node($0))}" }
        switch disk.format {
        case .raw: try await flatten("raw", [disk.path], raw(0), to: target, size: size, "the disk of vm \(vm)")
        case .qcow2:
            let source = "{\"driver\":\"qcow2\",\"file\":\(UploadedImage.node(0)),\"backing\":\(raw(1))}"
            try await flatten(
                "qcow2", [disk.path, image.path], source, to: target, size: size, "the disk of vm \(vm)")
        }
    }

    /// Copies the partition that holds the root file system.
    private func takeRoot(of table: PartitionTable, _ file: String, _ target: String, _ name: String) async throws {
        let part = try await pool.run { _ -> PartitionTable.Partition? in
            let opened = try openFile(file, [.readOnly, .noFollow])
            return try table.partitions.filter { part in
                let head = try SparseCopy.read(opened.raw, at: part.offset, count: Ext4Superblock.needed)
                return head.withUnsafeBytes { Ext4Superblock.recognises($0) }
            }.max { $0.size < $1.size }
        }
        guard let part else {
            throw CoveyError(
                .unsupported, "\(name) is a disk without an ext4 partition", remedy: "give one whose root is ext4")
        }
        try await pool.run { cancellation in
            try SparseCopy.range(
                file, from: part.offset, count: part.size, to: target, cancellation)
        }
    }

    /// Unpacks a compressed file system or disk; an archive is unpacked while it is read.
    private func unpack(
        _ file: String, at target: String, _ name: String, in staging: String, _ progress: @escaping ProgressHandler
    ) async throws {
        let raw = "\(staging)/unpacked.raw"
        let isArchive = try await pool.run { cancellation in
            let packed = try openFile(file, .readOnly)
            let archive = try Archive(descriptor: packed.raw, .raw, subject: name)
            guard try archive.next() != nil else { throw CoveyError(.corrupt, "\(name) is empty") }
            var writer: SparseCopy.Writer?
            var head: [UInt8] = []
            var isArchive = false
            do {
                try archive.content(limit: Int(UploadedImage.largest.bytes)) { bytes in
                    try cancellation.check()
                    if writer == nil {
                        head += bytes
                        guard head.count >= 512 else { return }
                        isArchive = head.withUnsafeBytes { $0.holds(Array("ustar".utf8), at: 257) }
                        if isArchive { throw EndOfLook() }
                        writer = try SparseCopy.Writer(raw)
                        try head.withUnsafeBytes { try writer?.write($0) }
                    } else {
                        try writer?.write(bytes)
                    }
                }
            } catch is EndOfLook {}
            try writer?.finish()
            return isArchive
        }
        if isArchive {
            return try await unpackTree(file, at: target, name, in: staging, progress)
        }
        guard try await pool.run({ _ in fileExists(raw) }) else {
            throw CoveyError(.invalid, "\(name) is no root file system", remedy: "give an ext4 file or a tar archive")
        }
        if case .compressed = try await look(raw, name) {
            throw CoveyError(.invalid, "\(name) is compressed twice", remedy: "decompress it once")
        }
        try await place(raw, at: target, name, in: staging, progress)
        try await pool.run { _ in try removeFile(raw) }
    }

    private func unpackTree(
        _ file: String, at target: String, _ name: String, in staging: String, _ progress: @escaping ProgressHandler
    ) async throws {
        guard let layers else { throw CoveyError(.unsupported, "this daemon unpacks no archives") }
        try await ArchivedRoot(layers: layers, pool: pool).make(target, of: file, name: name, in: staging, progress)
    }

    private func tooLarge(_ name: String) -> CoveyError {
        CoveyError(
            .exhausted, "\(name) is larger than \(UploadedImage.largest)", remedy: "shrink it: qemu-img resize --shrink"
        )
    }
}

/// Ends the reading of a compressed file whose beginning said enough.
private struct EndOfLook: Error {}
