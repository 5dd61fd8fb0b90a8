package import CoveyModel

/// Progress of a long step: how much is done, of how much where known, and in what.
package typealias ProgressHandler =
    @Sendable (_ stage: String, _ done: Int64?, _ total: Int64?, _ unit: String?) -> Void

/// An image that lies on this node.
package struct StoredImage: Hashable, Codable, Sendable {
    /// `sha256:` and the digest of the ext4 file.
    package var digest: String
    /// The ext4 file.
    package var path: String
    /// The file system's size.
    package var size: ByteCount
    /// Bytes that the file takes on disk.
    package var allocated: ByteCount
    /// What it says of its programs.
    package var configuration: ImageConfiguration
    /// Where its layers came from; nil for one that was built.
    package var origin: ImageOrigin?
    /// What its kernel is imported from, where it came with one.
    package var kernel: String?

    /// Makes a stored image.
    package init(
        digest: String, path: String, size: ByteCount, allocated: ByteCount, configuration: ImageConfiguration,
        origin: ImageOrigin? = nil, kernel: String? = nil
    ) {
        self.origin = origin
        self.digest = digest
        self.path = path
        self.size = size
        self.allocated = allocated
        self.configuration = configuration
        self.kernel = kernel
    }
}

/// What images take on disk.
package struct ImageUsage: Hashable, Sendable {
    /// The file systems.
    package var images: DiskUsage
    /// What they were unpacked from.
    package var blobs: DiskUsage
    /// What would go; images by their ids.
    package var items: [PrunedItem]

    /// Makes one.
    package init(images: DiskUsage, blobs: DiskUsage, items: [PrunedItem]) {
        self.images = images
        self.blobs = blobs
        self.items = items
    }
}

/// Makes images and keeps them by content. Publication is atomic: a killed build leaves only what
/// ``sweep(keeping:)`` removes.
package protocol ImageLibrary: Sendable {
    /// Makes an image, or returns the one that is there under this id.
    func build(_ id: ImageID, from source: ImageSpec.Source, progress: @escaping ProgressHandler) async throws
        -> StoredImage

    /// Makes an image of files on this node, or returns the one that is there under this id.
    func make(_ id: ImageID, from material: ImageMaterial, progress: @escaping ProgressHandler) async throws
        -> StoredImage

    /// Gives an image's content a second id, or returns what is there under that one. The content stays until it has
    /// no id any more. Errors: ``ErrorCode/notFound`` where the source is gone.
    func link(_ id: ImageID, to source: ImageID) async throws -> StoredImage

    /// What images and blobs take, and what would go if the images `without` did. Where images are `awaited`, no blob
    /// counts as one that could go.
    func usage(without: Set<ImageID>, awaited: Bool) async throws -> ImageUsage

    /// Removes blobs of no image and no running pull, half ones too.
    func collect() async throws

    /// The image under an id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    func image(_ id: ImageID) async throws -> StoredImage

    /// Removes an image; idempotent.
    func remove(_ id: ImageID) async throws

    /// Forgets what was kept for making an image from a source, such as credentials; idempotent.
    func release(_ source: ImageSpec.Source) async throws

    /// Removes half-made files, and finished ones of no id in `keeping`. Returns what it removed.
    func sweep(keeping: Set<ImageID>) async throws -> [String]
}

/// The files of a kernel.
package struct StoredKernel: Hashable, Codable, Sendable {
    /// What `uname -r` prints.
    package var release: String
    /// `sha256:` and the digest of the ELF file.
    package var digest: String
    /// How the kernel was packed: `lz4`, `gzip`, `xz`, `zstd`, `none`.
    package var payload: String
    /// Modules in its tree.
    package var modules: Int
    /// What microVMs use of it.
    package var drivers: [KernelDriver]?
    /// The VMMs that can boot it.
    package var boots: [String]?
    /// The uncompressed ELF kernel.
    package var elf: String
    /// The initramfs with the guest agent and the modules that reach the root disk.
    package var initramfs: String
    /// The read-only ext4 tools disk with the module tree.
    package var tools: String
    /// Bytes that all take on disk.
    package var allocated: ByteCount

    /// Makes a stored kernel.
    package init(
        release: String, digest: String, payload: String, modules: Int, drivers: [KernelDriver]? = nil,
        boots: [String]? = nil, elf: String, initramfs: String, tools: String, allocated: ByteCount
    ) {
        self.release = release
        self.digest = digest
        self.payload = payload
        self.modules = modules
        self.drivers = drivers
        self.boots = boots
        self.elf = elf
        self.initramfs = initramfs
        self.tools = tools
        self.allocated = allocated
    }
}

/// What a kernel is made from.
package enum KernelSource: Hashable, Sendable {
    /// Debian's cloud kernel, fetched by apt.
    case debian
    /// A file: a .deb, a bzImage, an ELF or an archive of them; with a module tree where given.
    case file(path: String, modules: String?)
}

/// Imports kernels and keeps them. Publication is atomic.
package protocol KernelLibrary: Sendable {
    /// Imports a kernel, or returns the one that is there under this id.
    func importKernel(_ id: KernelID, from source: KernelSource, progress: @escaping ProgressHandler) async throws
        -> StoredKernel

    /// The kernel under an id; initramfs and tools disk are made anew where the guest agent has changed.
    /// Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    func kernel(_ id: KernelID) async throws -> StoredKernel

    /// Removes a kernel; idempotent.
    func remove(_ id: KernelID) async throws

    /// Removes half-made files, and finished ones of no id in `keeping`. Returns what it removed.
    func sweep(keeping: Set<KernelID>) async throws -> [String]
}
