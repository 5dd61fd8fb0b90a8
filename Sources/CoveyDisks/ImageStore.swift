package import CoveyImages
package import CoveyModel
internal import CoveySystem

/// Images on this host, one folder each with an ext4 file.
package struct ImageStore: ImageLibrary {
    private static let fileName = "root.ext4"

    private let folder: ArtifactFolder<Image, ImageManifest>
    private let pool = BlockingPool("covey-images")
    private let turns = Turns<ImageID>()

    /// A store in a folder, which is made when the first image comes.
    package init(root: String) { folder = ArtifactFolder(root: root, kind: "image") }

    package func build(
        _ id: ImageID, from source: ImageSpec.Source, progress: @escaping ProgressHandler
    ) async throws -> StoredImage {
        try await guarded(id) {
            try await turns.run(id) {
                if let manifest = try await pool.run({ _ in try folder.load(id) }) {
                    return try await stored(id, manifest)
                }
                let staging = try await pool.run { _ in try folder.stage(id) }
                do {
                    let manifest = try await make(in: staging, from: source, progress)
                    try await pool.run { _ in try folder.publish(id, manifest) }
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
            try await turns.run(id) { try await pool.run { _ in try folder.remove(id) } }
        }
    }

    package func sweep(keeping: Set<ImageID>) async throws -> [String] {
        try await pool.run { _ in try folder.sweep(keeping: keeping) { turns.isTaken($0) } }
    }

    private func make(
        in staging: String, from source: ImageSpec.Source, _ progress: @escaping ProgressHandler
    ) async throws -> ImageManifest {
        let target = "\(staging)/\(ImageStore.fileName)"
        let configuration: ImageConfiguration
        switch source {
        case .builtIn:
            configuration = try await BusyboxImage(pool: pool).make(target, in: staging, progress)
        case .debian(let suite):
            configuration = try await DebianImage(suite: suite, pool: pool).make(target, in: staging, progress)
        }
        progress("digest", nil, nil, nil)
        return try await pool.run { cancellation in
            ImageManifest(
                version: ImageManifest.currentVersion, file: ImageStore.fileName, size: try FileFacts(target).size,
                digest: try Digest.file(target, cancellation), configuration: configuration)
        }
    }

    private func stored(_ id: ImageID, _ manifest: ImageManifest) async throws -> StoredImage {
        StoredImage(
            digest: manifest.digest, path: "\(folder.path(id))/\(manifest.file)", size: ByteCount(manifest.size),
            allocated: try await pool.run { _ in try folder.allocated(id, manifest) },
            configuration: manifest.configuration)
    }

    private func guarded<T: Sendable>(_ id: ImageID, _ body: () async throws -> T) async throws -> T {
        do { return try await body() } catch {
            throw CoveyError.wrapping(error).about(ResourceReference("image", id.description))
        }
    }
}
