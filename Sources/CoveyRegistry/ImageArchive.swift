internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials

/// An image in one tar: an OCI layout, or what `docker save` writes. Its files go into the blob store by their content.
///
/// Sources: OCI image specification, image-layout.md; docker, image specification 1.2. Belongs to one thread; blocks.
struct ImageArchive {
    private struct Index: Decodable {
        var manifests: [Descriptor]
    }

    private struct SavedImage: Decodable {
        var configuration: String
        var tags: [String]?
        var layers: [String]

        enum CodingKeys: String, CodingKey {
            case configuration = "Config"
            case tags = "RepoTags"
            case layers = "Layers"
        }
    }

    /// What was found.
    struct Found {
        var manifest: FoundManifest
        /// The name that it has in the archive; nil for none.
        var reference: String?
    }

    private static let layoutIndex = "index.json"
    private static let savedIndex = "manifest.json"
    private static let mostFiles = 10_000
    private static let referenceKeys = ["io.containerd.image.name", "org.opencontainers.image.ref.name"]

    let blobs: BlobStore
    let settings: RegistrySettings
    let name: String
    private var files: [String: (digest: ContentDigest, size: Int64)] = [:]
    private var links: [String: String] = [:]
    /// All blobs that were taken in and marked.
    private(set) var taken: [ContentDigest] = []

    init(blobs: BlobStore, settings: RegistrySettings, name: String) {
        self.blobs = blobs
        self.settings = settings
        self.name = name
    }

    /// Whether a file is a tar that begins like an image; a root file system is told by its first entries.
    static func isImage(_ path: String, name: String, _ cancellation: Cancellation) throws -> Bool {
        do { return try looksLikeImage(path, name, cancellation) } catch let error as CoveyError
            where error.code == .corrupt
        { return false }
    }

    private static func looksLikeImage(_ path: String, _ name: String, _ cancellation: Cancellation) throws -> Bool {
        let file = try openFile(path, [.readOnly, .noFollow])
        let archive = try LayerArchive(descriptor: file.raw, name: name)
        var count = 0
        while let entry = try archive.next(attributeLimit: 1 << 16) {
            try cancellation.check()
            count += 1
            let path = key(entry.path)
            if path == layoutIndex || path == savedIndex || path == "oci-layout" { return true }
            // Both kinds have nothing but blobs, folders named by digests, and the indexes.
            let first = path.prefix { $0 != "/" }
            let isBlob =
                ["blobs", "", "repositories"].contains(first)
                || (first.utf8.count >= 64 && first.prefix(64).allSatisfy(\.isHexDigit))
            guard isBlob, count <= mostFiles else { return false }
        }
        return false
    }

    /// Takes all files in. Errors: ``ErrorCode/corrupt``, ``ErrorCode/exhausted``.
    mutating func read(_ path: String, _ cancellation: Cancellation, progress: (Int64) -> Void) throws {
        let file = try openFile(path, [.readOnly, .noFollow])
        let archive = try LayerArchive(descriptor: file.raw, name: name)
        var left = settings.limits.download.bytes
        while let entry = try archive.next(attributeLimit: 1 << 16) {
            let path = ImageArchive.key(entry.path)
            switch entry.kind {
            case .file:
                guard files.count < ImageArchive.mostFiles else { throw corrupt("holds too many files") }
                let blob = try blobs.take(limit: left, cancellation) { add in
                    guard entry.size > 0 else { return }
                    var end: Int64 = 0
                    try archive.content { offset, bytes in
                        guard offset == end else { throw corrupt("has a file with holes") }
                        end += Int64(bytes.count)
                        try add(bytes)
                        progress(archive.consumed)
                    }
                }
                taken.append(blob.digest)
                left -= blob.size
                files[path] = (blob.digest, blob.size)
            case .symbolicLink(let target): links[path] = ImageArchive.resolve(target, from: path)
            case .hardLink(let target): links[path] = ImageArchive.key(target)
            case .folder, .device, .pipe: continue
            }
        }
    }

    /// The image for a platform. Errors: ``ErrorCode/corrupt``, ``ErrorCode/unsupported``.
    func image(_ platform: Platform) throws -> Found {
        if files[ImageArchive.layoutIndex] != nil { return try layout(platform) }
        if files[ImageArchive.savedIndex] != nil { return try saved() }
        throw corrupt("holds no image")
    }

    private func layout(_ platform: Platform) throws -> Found {
        let bytes = try document(ImageArchive.layoutIndex)
        var entries = try decode(Index.self, bytes, ImageArchive.layoutIndex).manifests
        guard entries.count <= Manifest.longestList else { throw corrupt("lists too many images") }
        var chosen: Descriptor
        let images = entries.filter { MediaType.accepted.contains($0.mediaType) }
        if images.count == 1 { chosen = images[0] } else { chosen = try Manifest.choose(platform, from: entries) }
        let reference = chosen.annotations.flatMap { notes in
            ImageArchive.referenceKeys.lazy.compactMap { notes[$0] }.first
        }
        for _ in 0..<2 {
            let bytes = try blob(chosen)
            switch try Manifest.read(bytes, type: chosen.mediaType) {
            case .image(let image):
                for part in [image.config] + image.layers { try require(part) }
                return Found(
                    manifest: FoundManifest(manifest: image, digest: chosen.digest, bytes: bytes), reference: reference)
            case .index(let inner):
                entries = inner
                chosen = try Manifest.choose(platform, from: entries)
            }
        }
        throw corrupt("has an index within an index")
    }

    private func saved() throws -> Found {
        let bytes = try document(ImageArchive.savedIndex)
        let images = try decode([SavedImage].self, bytes, ImageArchive.savedIndex)
        guard let image = images.first, images.count == 1 else {
            throw CoveyError(
                .unsupported, "\(name) holds \(images.count) images", remedy: "save one image into each archive")
        }
        guard image.layers.count <= Manifest.longestList else { throw corrupt("lists too many layers") }
        func descriptor(_ path: String, _ type: String) throws -> Descriptor {
            guard let file = find(path) else { throw corrupt("lacks \(path)") }
            return Descriptor(mediaType: type, digest: file.digest, size: file.size)
        }
        // Docker writes no manifest: this is the one that a registry would have been given.
        let manifest = ImageManifestV2(
            config: try descriptor(image.configuration, MediaType.dockerConfiguration),
            layers: try image.layers.map { try descriptor($0, MediaType.dockerLayer) })
        let written = try SynthesisedManifest(manifest).bytes()
        return Found(manifest: written, reference: image.tags?.first)
    }

    private func find(_ path: String) -> (digest: ContentDigest, size: Int64)? {
        var path = ImageArchive.key(Array(path.utf8))
        for _ in 0..<8 {
            if let file = files[path] { return file }
            guard let next = links[path] else { return nil }
            path = next
        }
        return nil
    }

    private func require(_ part: Descriptor) throws {
        let path = "blobs/sha256/\(part.digest.hex)"
        guard let file = find(path) else { throw corrupt("lacks \(part.digest.name)") }
        guard file.digest == part.digest, file.size == part.size else {
            throw corrupt("has other bytes than \(part.digest) under its name")
        }
    }

    private func blob(_ part: Descriptor) throws -> [UInt8] {
        try require(part)
        return try readFile(blobs.path(part.digest), limit: Manifest.limit)
    }

    private func document(_ path: String) throws -> [UInt8] {
        guard let file = find(path) else { throw corrupt("lacks \(path)") }
        guard file.size <= Int64(Manifest.limit) else { throw corrupt("has a \(path) that is too large") }
        return try readFile(blobs.path(file.digest), limit: Manifest.limit)
    }

    private func decode<T: Decodable>(_ type: T.Type, _ bytes: [UInt8], _ path: String) throws -> T {
        do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch {
            throw corrupt("has a \(path) that cannot be read: \(Manifest.summary(error))")
        }
    }

    private func corrupt(_ why: String) -> CoveyError {
        CoveyError(.corrupt, "\(name) \(why)", remedy: "make it again: skopeo copy … oci-archive:FILE, or docker save")
    }

    /// A path without `.` and leading `/`.
    private static func key(_ path: [UInt8]) -> String {
        path.split(separator: 47).filter { $0 != [46] }.map { String(decoding: $0, as: UTF8.self) }.joined(
            separator: "/")
    }

    /// What a link in the archive points to: only names in the archive, never files.
    private static func resolve(_ target: [UInt8], from path: String) -> String {
        var parts = target.first == 47 ? [] : Array(path.split(separator: "/").dropLast().map { String($0) })
        for part in target.split(separator: 47).map({ String(decoding: $0, as: UTF8.self) }) where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return parts.joined(separator: "/")
    }
}
