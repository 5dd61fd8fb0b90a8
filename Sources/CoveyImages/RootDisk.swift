package import CoveyModel

/// A machine's own disk over an image.
package struct RootDisk: Hashable, Codable, Sendable {
    /// How the bytes lie in the file.
    package enum Format: String, Codable, Sendable { case raw, qcow2 }

    /// How it was made.
    package var strategy: DiskStrategy
    /// The file, or the block device.
    package var path: String
    /// How the bytes lie in it.
    package var format: Format
    /// The raw file that a qcow2 overlay stands on.
    package var backing: String?
    /// Whether the path is a block device and not a file.
    package var isDevice: Bool

    /// Makes a root disk.
    package init(
        strategy: DiskStrategy, path: String, format: Format, backing: String? = nil, isDevice: Bool = false
    ) {
        self.strategy = strategy
        self.path = path
        self.format = format
        self.backing = backing
        self.isDevice = isDevice
    }
}

/// Copy-on-write disks over an image. A disk is named by a path without an extension, below which its store puts
/// what it needs (`PATH.qcow2`, `PATH.raw`, …), in a folder that is there.
package protocol RootDiskStore: Sendable {
    /// Makes a disk over an image; or returns the one that is there, grown where it is smaller than asked.
    ///
    /// - Parameters:
    ///   - path: The disk's name.
    ///   - image: What it stands on.
    ///   - size: The disk's size; nil is the image's, or that of the disk that is there. Rounded up to whole sectors.
    /// - Throws: ``ErrorCode/invalid`` where the size is smaller than the image or absurd,
    ///   ``ErrorCode/exhausted`` on a full disk, ``ErrorCode/conflict`` where something else is at the path or the
    ///   disk is larger than asked, ``ErrorCode/unsupported`` where this host cannot do it.
    func create(at path: String, over image: StoredImage, size: ByteCount?) async throws -> RootDisk

    /// Lets go of what the host holds for a disk that no VMM uses any more; its content stays. Idempotent.
    func release(at path: String) async throws

    /// Removes a disk with what was half-made of it; idempotent.
    func remove(at path: String) async throws
}
