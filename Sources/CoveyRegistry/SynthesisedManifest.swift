internal import CoveyModel
internal import Crypto
internal import FoundationEssentials

/// A manifest that we write ourselves, the same bytes for the same content.
struct SynthesisedManifest: Encodable {
    private let schemaVersion = 2
    private let mediaType = MediaType.dockerManifest
    private let config: Descriptor
    private let layers: [Descriptor]
    private let manifest: ImageManifestV2

    private enum CodingKeys: String, CodingKey { case schemaVersion, mediaType, config, layers }

    init(_ manifest: ImageManifestV2) {
        config = manifest.config
        layers = manifest.layers
        self.manifest = manifest
    }

    /// The manifest with its bytes and their digest.
    func bytes() throws -> FoundManifest {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes = Array(try encoder.encode(self))
        guard let digest = ContentDigest(hex: hexadecimal(SHA256.hash(data: bytes))) else {
            throw CoveyError(.internalError, "a digest is not one")
        }
        return FoundManifest(manifest: manifest, digest: digest, bytes: bytes)
    }
}
