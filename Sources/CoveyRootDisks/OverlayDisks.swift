package import CoveyImages
package import CoveyModel
internal import CoveySystem
internal import Glibc

/// Root disks as qcow2 overlays over the image's file, on every file system; QEMU alone reads them.
package struct OverlayDisks: RootDiskStore {
    private let pool = BlockingPool("covey-disks")

    /// A store; the callers say where each disk lies.
    package init() {}

    package func create(at path: String, over image: StoredImage, size: ByteCount?) async throws -> RootDisk {
        guard image.path.hasPrefix("/"), image.path.utf8.count <= 1023 else {
            throw CoveyError(
                .invalid, "the image's path is not absolute or longer than 1023 bytes",
                remedy: "give the daemon a shorter --root")
        }
        let wanted = try DiskSize(size, over: image)
        let file = OverlayDisks.file(path)
        return try await pool.run { @Sendable () throws -> RootDisk in
            if let present = try OverlayDisks.present(file, over: image) {
                if let growth = try DiskSize.growth(from: present.size.bytes, to: size, over: image) {
                    try OverlayDisks.grow(file, present, to: growth)
                }
            } else {
                let overlay = Qcow2Overlay(size: ByteCount(wanted.bytes), backing: image.path)
                try OverlayDisks.write(overlay, to: file)
            }
            return RootDisk(strategy: .qcow2, path: file, format: .qcow2, backing: image.path)
        }
    }

    package func release(at path: String) async throws {}

    package func remove(at path: String) async throws {
        let file = OverlayDisks.file(path)
        try await pool.run { @Sendable () throws in
            try removeFile(OverlayDisks.temporary(file))
            try removeFile(file)
        }
    }

    /// Where the disk of a name lies.
    static func file(_ path: String) -> String { "\(path).qcow2" }

    private static func temporary(_ file: String) -> String { "\(file).new" }

    /// The overlay of this image that is there. An empty file holds nothing: it is what a power cut left.
    private static func present(_ path: String, over image: StoredImage) throws -> Qcow2Overlay? {
        guard fileExists(path) else { return nil }
        let file = try openFile(path, [.readOnly, .noFollow])
        let head = try readSome(file.raw, limit: 4096) ?? []
        if head.isEmpty { return nil }
        guard let found = head.withUnsafeBytes({ Qcow2Overlay(header: $0) }), found.backing == image.path,
            found.size >= image.size
        else { throw DiskSize.otherDisk }
        return found
    }

    private static func grow(_ path: String, _ overlay: Qcow2Overlay, to size: Int64) throws {
        guard let bytes = overlay.grownHeader(size: ByteCount(size)) else {
            throw CoveyError(
                .unsupported, "it cannot grow from \(overlay.size.rounded) to \(ByteCount(size).rounded)",
                remedy: "make a new machine with a disk of that size")
        }
        let file = try openFile(path, [.readWrite, .noFollow])
        try put(file.raw, path, bytes, at: Qcow2Overlay.sizeOffset)
        try check("fdatasync", path) { fdatasync(file.raw) }
    }

    private static func put(_ file: Int32, _ path: String, _ bytes: [UInt8], at offset: Int) throws {
        let put = try bytes.withUnsafeBytes { buffer in
            try check("pwrite", path) { pwrite(file, buffer.baseAddress, buffer.count, off_t(offset)) }
        }
        guard put == bytes.count else { throw SystemError("pwrite", path, errno: ENOSPC) }
    }

    private static func write(_ overlay: Qcow2Overlay, to path: String) throws {
        let layout = overlay.layout()
        let temporary = temporary(path)
        do {
            let file = try openFile(temporary, [.writeOnly, .create, .truncate, .noFollow])
            for part in layout.parts { try put(file.raw, temporary, part.bytes, at: part.offset) }
            try check("ftruncate", temporary) { ftruncate(file.raw, off_t(layout.length)) }
            try file.close()
            try check("rename", path) { rename(temporary, path) }
        } catch {
            try removeFile(temporary)
            throw error
        }
    }
}
