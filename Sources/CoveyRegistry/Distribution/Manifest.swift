internal import CoveyModel
internal import FoundationEssentials

/// A blob's type, digest and size.
struct Descriptor: Codable, Hashable, Sendable {
    var mediaType: String
    var digest: ContentDigest
    var size: Int64
    var platform: Platform?
    var annotations: [String: String]?
}

/// A platform as in an index.
struct Platform: Codable, Hashable, Sendable, CustomStringConvertible {
    var architecture: String
    var os: String
    var variant: String?

    var description: String { ([os, architecture] + (variant.map { [$0] } ?? [])).joined(separator: "/") }

    /// The platform of a node.
    static func of(_ architecture: Architecture) -> Platform {
        switch architecture {
        case .amd64: Platform(architecture: "amd64", os: "linux")
        case .arm64: Platform(architecture: "arm64", os: "linux")
        }
    }
}

/// What a registry answers under a tag or a digest.
enum Manifest: Sendable {
    /// One image for each platform.
    case index([Descriptor])
    /// An image.
    case image(ImageManifestV2)

    /// The most bytes of a manifest or configuration.
    static let limit = 4 << 20
    /// The most layers of an image, and platforms of an index.
    static let longestList = 1000

    /// Reads a manifest.
    ///
    /// Errors: ``ErrorCode/corrupt`` for what is no manifest, ``ErrorCode/unsupported`` for forms that are not read.
    static func read(_ bytes: [UInt8], type header: String?) throws(CoveyError) -> Manifest {
        guard bytes.count <= limit else { throw corrupt("is larger than \(ByteCount(Int64(limit)).rounded)") }
        let outline: Outline
        do { outline = try JSONDecoder().decode(Outline.self, from: Data(bytes)) } catch let error as CoveyError {
            throw error
        } catch { throw corrupt("cannot be read: \(summary(error))") }
        let type = outline.mediaType ?? MediaType.bare(header) ?? ""
        if outline.schemaVersion == 1 || MediaType.isFirstSchema(type) {
            throw CoveyError(
                .unsupported, "the image is in docker's first form (schema 1), which has no verifiable layers",
                remedy: "push it again with a docker of 2016 or later, or with skopeo copy")
        }
        guard outline.schemaVersion == 2 else { throw corrupt("has no schema version that is known") }
        // Both at once would be read one way by some and another way by others (CVE-2021-41190).
        guard (outline.manifests == nil) != (outline.layers == nil) else {
            throw corrupt("is neither an index nor an image")
        }
        if let header = MediaType.bare(header), MediaType.accepted.contains(header),
            MediaType.accepted.contains(type), header != type
        {
            throw corrupt("is served as \(header) and calls itself \(type)")
        }
        if let entries = outline.manifests {
            guard entries.count <= longestList else { throw corrupt("lists \(entries.count) platforms") }
            return .index(entries)
        }
        guard let layers = outline.layers, let configuration = outline.config else {
            throw corrupt("has no configuration")
        }
        guard layers.count <= longestList else { throw corrupt("lists \(layers.count) layers") }
        guard MediaType.configurations.contains(configuration.mediaType) else {
            throw CoveyError(
                .unsupported, "\(configuration.mediaType) is no image that can be run",
                remedy: "use an image of programs; this is an artifact of another kind")
        }
        for layer in layers {
            if MediaType.isForeign(layer.mediaType) {
                throw CoveyError(
                    .unsupported, "the image has a layer that only its maker may hand out (\(layer.mediaType))",
                    remedy: "use an image for Linux: such layers are of Windows")
            }
            guard MediaType.layers.contains(layer.mediaType) else {
                throw CoveyError(
                    .unsupported, "a layer is of the unknown type \(layer.mediaType)",
                    remedy: "use an image with layers of tar, gzip or zstd")
            }
        }
        guard (layers + [configuration]).allSatisfy({ $0.size >= 0 }) else { throw corrupt("has a negative size") }
        guard configuration.size <= Int64(limit) else {
            throw corrupt("has a configuration of \(ByteCount(configuration.size).rounded)")
        }
        return .image(ImageManifestV2(config: configuration, layers: layers))
    }

    /// The image of a platform in an index.
    ///
    /// Errors: ``ErrorCode/unsupported`` that names what there is.
    static func choose(_ wanted: Platform, from entries: [Descriptor]) throws(CoveyError) -> Descriptor {
        let images = entries.filter { MediaType.accepted.contains($0.mediaType) }
        let fitting = images.filter { $0.platform?.os == wanted.os && $0.platform?.architecture == wanted.architecture }
        // An amd64 of a later level (v3) may not run here; one without says that it runs on all.
        if let best = fitting.first(where: { $0.platform?.variant == nil }) ?? fitting.first { return best }
        if images.count == 1, images[0].platform == nil { return images[0] }
        var seen: Set<String> = []
        let names = images.compactMap { $0.platform?.description }.filter {
            $0 != "unknown/unknown" && seen.insert($0).inserted
        }
        throw CoveyError(
            .unsupported, "there is no image for \(wanted)",
            remedy: names.isEmpty
                ? "use another image: this index names no platform" : "it is there for \(names.joined(separator: ", "))"
        )
    }

    private struct Outline: Decodable {
        var schemaVersion: Int
        var mediaType: String?
        var config: Descriptor?
        var layers: [Descriptor]?
        var manifests: [Descriptor]?
    }

    private static func corrupt(_ why: String) -> CoveyError {
        CoveyError(.corrupt, "the image's manifest \(why)", remedy: "tell the one who published it")
    }

    /// What is wrong with JSON, in a few words: the decoder's own text holds the whole document.
    static func summary(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        func path(_ context: DecodingError.Context) -> String {
            let names = context.codingPath.map { $0.intValue.map { "\($0)" } ?? $0.stringValue }
            return names.isEmpty ? "its top" : names.joined(separator: ".")
        }
        switch error {
        case .typeMismatch(_, let context): return "\(path(context)) is of another type"
        case .valueNotFound(_, let context): return "\(path(context)) is null"
        case .keyNotFound(let key, let context): return "\(key.stringValue) is missing in \(path(context))"
        case .dataCorrupted: return "it is no JSON"
        @unknown default: return "it is no JSON"
        }
    }
}

/// An image's manifest with its bytes, which its digest is of.
struct FoundManifest: Sendable {
    var manifest: ImageManifestV2
    var digest: ContentDigest
    var bytes: [UInt8]
}

/// An image's configuration and layers.
struct ImageManifestV2: Codable, Hashable, Sendable {
    var config: Descriptor
    var layers: [Descriptor]
}
