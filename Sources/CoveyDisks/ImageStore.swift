package import CoveyImages
package import CoveyModel
internal import CoveySystem

/// Images on this host, one folder each with an ext4 file.
package struct ImageStore: ImageLibrary {
    private static let fileName = "root.ext4"

    let folder: ArtifactFolder<Image, ImageManifest>
    let pool = BlockingPool("covey-images")
    let turns = Turns<ImageID>()
    let layers: (any LayeredImages)?

    /// The mirror that Debian images are built from where they name none.
    private let mirror: String?

    /// A store in a folder, which is made when the first image comes.
    ///
    /// - Parameters:
    ///   - layers: What fetches from registries; nil knows none.
    ///   - mirror: The mirror that Debian images are built from where they name none; nil is the host's own.
    package init(root: String, layers: (any LayeredImages)? = nil, mirror: String? = nil) {
        folder = ArtifactFolder(root: root, kind: "image")
        self.layers = layers
        self.mirror = mirror
    }

    package func build(
        _ id: ImageID, from source: ImageSpec.Source, progress: @escaping ProgressHandler
    ) async throws -> StoredImage {
        try await produce(id, progress) { staging, target in
            switch source {
            case .builtIn:
                return MadeImage(configuration: try await BusyboxImage(pool: pool).make(target, in: staging, progress))
            case .debian(let suite, let options):
                var options = options ?? DebianOptions()
                options.mirror = options.mirror ?? mirror
                let image = DebianImage(suite: suite, options: options, pool: pool)
                return MadeImage(configuration: try await image.make(target, in: staging, progress))
            case .registry(let pull):
                guard let layers else {
                    throw CoveyError(.unsupported, "this daemon fetches nothing from registries")
                }
                do {
                    let made = try await LayeredImage(layers: layers, pool: pool).make(
                        target, in: staging, pull, progress)
                    return MadeImage(configuration: made.configuration, unpacked: made)
                } catch {
                    _ = try await collect(partial: true)
                    throw error
                }
            case .upload, .machine, .catalog:
                throw CoveyError(.internalError, "an image of files is made by another way")
            }
        }
    }

    /// Makes an image in a staging folder by `body`, which gets that and where the ext4 file goes.
    func produce(
        _ id: ImageID, _ progress: @escaping ProgressHandler,
        _ body: (_ staging: String, _ target: String) async throws -> MadeImage
    ) async throws -> StoredImage {
        try await guarded(id) {
            try await turns.run(id) {
                if let manifest = try await pool.run({ _ in try folder.load(id) }) {
                    return try await stored(id, manifest)
                }
                let staging = try await pool.run { _ in try folder.stage(id) }
                do {
                    let (manifest, hold) = try await make(in: staging, progress, body)
                    try await pool.run { _ in try withExtendedLifetime(hold) { try folder.publish(id, manifest) } }
                    return try await stored(id, manifest)
                } catch {
                    try await pool.run { @Sendable () throws in try removeTree(staging) }
                    throw FreeSpace.explain(error, in: folder.root, doing: "building an image")
                }
            }
        }
    }

    package func image(_ id: ImageID) async throws -> StoredImage {
        try await guarded(id) {
            let manifest = try await pool.run { _ in try folder.load(id) }
            guard let manifest else { throw CoveyError.notFound("image", id.description) }
            return try await stored(id, manifest)
        }
    }

    package func remove(_ id: ImageID) async throws {
        try await guarded(id) {
            let hadLayers = try await turns.run(id) {
                try await pool.run { _ in
                    let hadLayers = try? folder.load(id)?.origin != nil
                    try folder.remove(id)
                    return hadLayers ?? true
                }
            }
            if hadLayers { _ = try await collect(partial: false) }
        }
    }

    package func release(_ source: ImageSpec.Source) async throws {
        switch source {
        case .builtIn, .debian, .upload, .machine, .catalog: return
        case .registry(let pull): try await layers?.forget(pull)
        }
    }

    package func sweep(keeping: Set<ImageID>) async throws -> [String] {
        let removed = try await pool.run { _ in try folder.sweep(keeping: keeping) { turns.isTaken($0) } }
        // What is half here of an image that is still to come is gone on with.
        let awaited = try await pool.run { _ in keeping.contains { !fileExists(folder.path($0)) } }
        if !awaited { _ = try await collect(partial: true) }
        return removed
    }

    /// Removes blobs that no image and no pull needs.
    func collect(partial: Bool) async throws -> ByteCount {
        guard let layers else { return ByteCount(0) }
        return try await layers.collect(partial: partial) { try await wanted(without: []) }
    }

    /// The digests of all blobs that images were made of, but for those `without`.
    func wanted(without: Set<ImageID>) async throws -> Set<String> {
        try await pool.run { _ in
            var wanted: Set<String> = []
            for name in fileExists(folder.root) ? try listFolder(folder.root) : [] {
                guard let id = ImageID(name), !without.contains(id) else { continue }
                guard let origin = try folder.load(id)?.origin else { continue }
                wanted.formUnion([origin.manifestDigest, origin.configurationDigest])
                wanted.formUnion(origin.layers.map(\.digest))
            }
            return wanted
        }
    }

    private func make(
        in staging: String, _ progress: @escaping ProgressHandler,
        _ body: (_ staging: String, _ target: String) async throws -> MadeImage
    ) async throws -> (ImageManifest, BlobHold?) {
        let target = "\(staging)/\(ImageStore.fileName)"
        let made = try await body(staging, target)
        progress("digest", nil, nil, nil)
        let manifest = try await pool.run { cancellation in
            ImageManifest(
                version: ImageManifest.currentVersion, file: ImageStore.fileName, size: try FileFacts(target).size,
                digest: try Digest.file(target, cancellation), configuration: made.configuration,
                origin: made.unpacked?.origin,
                kernel: try made.kernel.map { .init(name: $0, size: try FileFacts("\(staging)/\($0)").size) })
        }
        return (manifest, made.unpacked?.hold)
    }

    func stored(_ id: ImageID, _ manifest: ImageManifest) async throws -> StoredImage {
        StoredImage(
            digest: manifest.digest, path: "\(folder.path(id))/\(manifest.file)", size: ByteCount(manifest.size),
            allocated: try await pool.run { _ in try folder.allocated(id, manifest) },
            configuration: manifest.configuration, origin: manifest.origin,
            kernel: manifest.kernel.map { "\(folder.path(id))/\($0.name)" })
    }

    func guarded<T: Sendable>(_ id: ImageID, _ body: () async throws -> T) async throws -> T {
        do { return try await body() } catch {
            throw CoveyError.wrapping(error).about(ResourceReference("image", id.description))
        }
    }
}

/// What was made beside an ext4 file.
struct MadeImage: Sendable {
    /// What the image says of its programs.
    var configuration: ImageConfiguration
    /// The name of a file beside it that its kernel is imported from.
    var kernel: String?
    /// What it was unpacked from, for one of layers.
    var unpacked: UnpackedImage?
}
