package import CoveyImages
package import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import Synchronization

/// Images of layers: fetched, kept by content, unpacked.
package struct RegistryImages: LayeredImages {
    private static let parallel = 3

    let blobs: BlobStore
    private let credentials: CredentialFolder
    let settings: RegistrySettings
    let pool = BlockingPool("covey-layers")

    /// Keeps blobs in `blobs`, and reads callers' credentials from `credentials`.
    package init(blobs: String, credentials: String, settings: RegistrySettings = RegistrySettings()) {
        self.blobs = BlobStore(root: blobs, limits: settings.transfer)
        self.credentials = CredentialFolder(credentials)
        self.settings = settings
    }

    package func pull(
        _ pull: RegistryPull, into folder: String, progress: @escaping ProgressHandler
    ) async throws -> UnpackedImage {
        let reference = try ImageReference(pull.reference)
        let (access, files) = try await pool.run { @Sendable () throws in
            (
                try pull.access.flatMap { try credentials.credentials($0) },
                try settings.authorities(for: reference.registry)
            )
        }
        progress("manifest", nil, nil, nil)
        return try await HTTPSession.with(limits: settings.transfer, trusting: files) { session in
            let repository = try RegistryRepository(
                reference, plainHTTP: pull.plainHTTP, credentials: access, settings: settings, session: session)
            let platform = Platform.of(settings.architecture)
            let found = try await repository.image(platform)
            return try await fetch(found, of: repository, platform, into: folder, progress)
        }
    }

    package func forget(_ pull: RegistryPull) async throws {
        guard let access = pull.access else { return }
        try await pool.run { @Sendable () throws in try credentials.forget(access) }
    }

    package func collect(
        partial: Bool, wanted: @Sendable () async throws -> Set<String>
    ) async throws -> ByteCount {
        try await blobs.collect(partial: partial, wanted: wanted)
    }

    package func usage(wanted: Set<String>) async throws -> (blobs: DiskUsage, loose: [PrunedItem]) {
        try await pool.run { @Sendable () throws in try blobs.usage(wanted: wanted) }
    }

    // MARK: fetching

    private func fetch(
        _ found: FoundManifest, of repository: RegistryRepository, _ platform: Platform, into folder: String,
        _ progress: @escaping ProgressHandler
    ) async throws -> UnpackedImage {
        let manifest = found.manifest
        try checkSize(manifest)
        let digests = [found.digest, manifest.config.digest] + manifest.layers.map(\.digest)
        blobs.mark(digests)
        let hold = BlobHold { [blobs] in blobs.unmark(digests) }
        try await blobs.keep(found.bytes, as: found.digest)
        try await bring(manifest.config, "the image's configuration", repository) { _, _ in }
        return try await unpack(
            found, reference: repository.reference.canonical, platform, into: folder, hold, progress
        ) { layer, progress in
            try await bring(layer, layer.digest.name, repository, progress: progress)
        }
    }

    /// Reads the configuration, which is there, and unpacks the layers as `bring` brings them.
    func unpack(
        _ found: FoundManifest, reference: String, _ platform: Platform, into folder: String, _ hold: BlobHold,
        _ progress: @escaping ProgressHandler,
        bring: @escaping @Sendable (Descriptor, @escaping BlobTransfer.Progress) async throws -> Void
    ) async throws -> UnpackedImage {
        let manifest = found.manifest
        let path = blobs.path(manifest.config.digest)
        let bytes = try await pool.run { @Sendable () throws in try readFile(path, limit: Manifest.limit) }
        let document = try ConfigurationDocument.read(bytes, platform: platform, layers: manifest.layers.count)
        let programs = try document.programs()
        try await unpack(manifest.layers, into: folder, progress, bring: bring)
        let origin = ImageOrigin(
            reference: reference, manifestDigest: found.digest.description,
            configurationDigest: manifest.config.digest.description, layers: manifest.layers.map(\.model),
            history: document.steps)
        return UnpackedImage(origin: origin, configuration: programs, hold: hold)
    }

    private func bring(
        _ descriptor: Descriptor, _ name: String, _ repository: RegistryRepository,
        progress: @escaping BlobTransfer.Progress
    ) async throws {
        try await blobs.bring(
            descriptor, name: name, limit: settings.limits.download, progress: progress
        ) { offset in
            try await repository.blob(descriptor.digest, from: offset)
        }
    }

    func checkSize(_ manifest: ImageManifestV2) throws(CoveyError) {
        var total: Int64 = 0
        for layer in manifest.layers {
            let (sum, overflow) = total.addingReportingOverflow(layer.size)
            total = sum
            guard !overflow, total <= settings.limits.download.bytes else {
                throw CoveyError(
                    .exhausted, "the image's layers are more than \(settings.limits.download.rounded)",
                    remedy: "use a smaller image", retryable: false)
            }
        }
    }

    /// Brings layers, three at a time, and unpacks each as soon as it and all below it are there.
    private func unpack(
        _ layers: [Descriptor], into folder: String, _ progress: @escaping ProgressHandler,
        bring: @escaping @Sendable (Descriptor, @escaping BlobTransfer.Progress) async throws -> Void
    ) async throws {
        let (arrived, arrival) = AsyncStream.makeStream(of: Int.self)
        let next = Tickets()
        let limits = settings.limits
        let unpacking = UnpackingThread(pool: pool)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<min(RegistryImages.parallel, layers.count) {
                group.addTask {
                    while case let index = next.take(), index < layers.count {
                        let layer = layers[index]
                        try await bring(layer) { done, total in
                            progress(layer.digest.name, done, total, "bytes")
                        }
                        progress(layer.digest.name, layer.size, layer.size, "bytes")
                        arrival.yield(index)
                    }
                }
            }
            group.addTask {
                try await unpacking.begin(folder, limits)
                let total = layers.reduce(0) { $0 + $1.size }
                var (there, below) = (Set<Int>(), Int64(0))
                var arrivals = arrived.makeAsyncIterator()
                for (index, layer) in layers.enumerated() {
                    while !there.contains(index) {
                        guard let one = await arrivals.next() else { throw CancellationError() }
                        there.insert(one)
                    }
                    let done = below
                    try await unpacking.apply(blobs.path(layer.digest), layer.digest.name) { bytes in
                        progress("unpack", done + min(bytes, layer.size), total, "bytes")
                    }
                    below += layer.size
                }
                progress("unpack", total, total, "bytes")
            }
            // The first failure ends the others: waitForAll would wait for them.
            for try await _ in group {}
        }
    }
}

/// Numbers from 0 on, each once.
private final class Tickets: Sendable {
    private let next = Atomic(0)

    func take() -> Int { next.add(1, ordering: .relaxed).oldValue }
}

/// Holds what belongs to one thread at a time: layers are applied one after the other.
private final class UnpackingThread: Sendable {
    // SAFETY: an unpacker is not Sendable; it is used under the lock alone, by one thread at a time.
    private struct Box: @unchecked Sendable { var unpacker: Unpacker? }

    private let pool: BlockingPool
    private let box = Mutex(Box())

    init(pool: BlockingPool) { self.pool = pool }

    func begin(_ folder: String, _ limits: UnpackLimits) async throws {
        try await pool.run { @Sendable () throws in
            try self.box.withLock { $0.unpacker = try Unpacker(into: folder, limits: limits) }
        }
    }

    func apply(_ path: String, _ name: String, progress: @escaping @Sendable (Int64) -> Void) async throws {
        try await pool.run { cancellation in
            try self.box.withLock { box in
                try box.unpacker?.apply(path, name: name, cancellation, progress: progress)
            }
        }
    }
}

extension ContentDigest {
    /// `layer 3f4e5a6b7c8d`.
    var name: String { "layer \(hex.prefix(12))" }
}

extension Descriptor {
    /// As a layer of an origin.
    var model: ImageLayer {
        ImageLayer(digest: digest.description, size: ByteCount(size), mediaType: mediaType)
    }
}
