package import CoveyImages
package import CoveyModel
internal import CoveySystem
internal import Glibc

/// Root disks as qcow2 overlays over the image's file, which every host and QEMU can use.
package struct RootDisks: RootDiskStore {
    private let pool = BlockingPool("covey-disks")

    /// A store; the callers say where each disk lies.
    package init() {}

    /// Makes a disk.
    ///
    /// - Parameters:
    ///   - path: The file, in a folder that is there.
    ///   - image: What it stands on.
    ///   - size: The disk's size; nil is the image's. Rounded up to whole sectors.
    /// - Throws: ``ErrorCode/invalid`` where the size is smaller than the image or absurd,
    ///   ``ErrorCode/exhausted`` on a full disk, ``ErrorCode/conflict`` where another file is at the path.
    package func create(at path: String, over image: StoredImage, size: ByteCount?) async throws -> RootDisk {
        let wanted = size ?? image.size
        guard wanted >= image.size else {
            throw CoveyError(
                .invalid, "a disk of \(wanted.rounded) cannot hold the image's \(image.size.rounded)",
                remedy:
                    "ask for at least \(ByteCount(((image.size.bytes + (1 << 20) - 1) >> 20) << 20)), or leave the size out"
            )
        }
        guard wanted <= Qcow2Overlay.largest, wanted.bytes > 0 else {
            throw CoveyError(
                .invalid, "a disk of \(wanted.rounded) is too large", remedy: "ask for at most \(Qcow2Overlay.largest)")
        }
        guard image.path.hasPrefix("/"), image.path.utf8.count <= 1023 else {
            throw CoveyError(
                .invalid, "the image's path is not absolute or longer than 1023 bytes",
                remedy: "give the daemon a shorter --root")
        }
        let overlay = Qcow2Overlay(size: ByteCount((wanted.bytes + 511) / 512 * 512), backing: image.path)
        return try await pool.run { @Sendable () throws -> RootDisk in
            do {
                if try !RootDisks.isThere(overlay, at: path) { try RootDisks.write(overlay, to: path) }
                return RootDisk(path: path, format: .qcow2, backing: overlay.backing)
            } catch {
                throw CoveyError.wrapping(error, "root disk \(path) cannot be made")
            }
        }
    }

    package func remove(at path: String) async throws {
        try await pool.run { @Sendable () throws in
            do {
                try removeFile(RootDisks.temporary(path))
                try removeFile(path)
            } catch {
                throw CoveyError.wrapping(error, "root disk \(path) cannot be removed")
            }
        }
    }

    private static func temporary(_ path: String) -> String { "\(path).new" }

    /// Whether this very overlay is there. An empty file holds nothing: it is what a power cut left.
    private static func isThere(_ overlay: Qcow2Overlay, at path: String) throws -> Bool {
        guard fileExists(path) else { return false }
        let file = try openFile(path, [.readOnly, .noFollow])
        let head = try readSome(file.raw, limit: 4096) ?? []
        if head.isEmpty { return false }
        guard let found = head.withUnsafeBytes({ Qcow2Overlay(header: $0) }), found.backing == overlay.backing,
            found.size == overlay.size
        else {
            throw CoveyError(
                .conflict, "there is another disk already", remedy: "delete the machine that it belongs to")
        }
        return true
    }

    private static func write(_ overlay: Qcow2Overlay, to path: String) throws {
        let layout = overlay.layout()
        let temporary = temporary(path)
        do {
            let file = try openFile(temporary, [.writeOnly, .create, .truncate, .noFollow])
            for part in layout.parts {
                let put = try part.bytes.withUnsafeBytes { bytes in
                    try check("pwrite", temporary) {
                        pwrite(file.raw, bytes.baseAddress, bytes.count, off_t(part.offset))
                    }
                }
                guard put == part.bytes.count else { throw SystemError("pwrite", temporary, errno: ENOSPC) }
            }
            try check("ftruncate", temporary) { ftruncate(file.raw, off_t(layout.length)) }
            try file.close()
            try check("rename", path) { rename(temporary, path) }
        } catch {
            try removeFile(temporary)
            throw error
        }
    }
}
