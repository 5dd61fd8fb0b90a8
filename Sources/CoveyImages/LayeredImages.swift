package import CoveyModel

/// An image of layers that was unpacked.
package struct UnpackedImage: Sendable {
    /// Where it came from.
    package var origin: ImageOrigin
    /// What it says of its programs.
    package var configuration: ImageConfiguration
    /// Keeps its blobs as long as it lives: until the image is published, which names them.
    package var hold: BlobHold

    /// Makes one.
    package init(origin: ImageOrigin, configuration: ImageConfiguration, hold: BlobHold) {
        self.origin = origin
        self.configuration = configuration
        self.hold = hold
    }
}

/// Keeps blobs from being collected, as long as it lives.
package final class BlobHold: Sendable {
    private let release: @Sendable () -> Void

    /// Calls `release` at its end.
    package init(release: @escaping @Sendable () -> Void) { self.release = release }

    deinit { release() }
}

/// Fetches images of layers from registries, keeps their blobs by content, and unpacks them.
package protocol LayeredImages: Sendable {
    /// Fetches an image, and unpacks it into an empty folder.
    ///
    /// Errors: ``ErrorCode/notFound``, ``ErrorCode/unauthenticated``, ``ErrorCode/denied``, ``ErrorCode/unavailable``
    /// for a registry that cannot be reached, ``ErrorCode/corrupt`` for one that sends other bytes than it said,
    /// ``ErrorCode/unsupported`` for another architecture or form, ``ErrorCode/exhausted`` for a limit or a full disk.
    func pull(_ pull: RegistryPull, into folder: String, progress: @escaping ProgressHandler) async throws
        -> UnpackedImage

    /// Unpacks a tar archive, also a compressed one, of a root file system into an empty folder.
    ///
    /// Errors: ``ErrorCode/corrupt`` for what cannot be read or leads out of the folder, ``ErrorCode/exhausted``.
    func unpack(_ archive: String, name: String, into folder: String, progress: @escaping ProgressHandler) async throws

    /// Takes the image out of an archive, and unpacks it into an empty folder: an OCI layout as `skopeo` writes it, or
    /// what `docker save` writes, in one tar. Nil where the tar holds no image but, say, a root file system.
    ///
    /// Errors: as ``pull(_:into:progress:)``.
    func take(archive path: String, name: String, into folder: String, progress: @escaping ProgressHandler) async throws
        -> UnpackedImage?

    /// Writes an image as an OCI layout in one tar, piece by piece; with the same blobs that it came with.
    ///
    /// Errors: ``ErrorCode/notFound`` where a blob is not kept any more.
    func export(
        _ origin: ImageOrigin, output: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws

    /// Forgets what was kept for a pull; idempotent.
    func forget(_ pull: RegistryPull) async throws

    /// Removes blobs that `wanted` does not name and no running pull needs; with `partial`, also what is half here of
    /// no running pull. `wanted` is asked once it is certain that pulls which end meanwhile are seen. Returns the bytes.
    func collect(partial: Bool, wanted: @Sendable () async throws -> Set<String>) async throws -> ByteCount

    /// What the blobs take, half ones too, and which of them `wanted` does not name and no running pull needs.
    func usage(wanted: Set<String>) async throws -> (blobs: DiskUsage, loose: [PrunedItem])
}
