internal import CoveyModel

/// What is known of a stored image; `manifest.json` beside its file.
struct ImageManifest: ArtifactManifest {
    static var currentVersion: Int { 1 }

    var version: Int
    /// The ext4 file's name.
    var file: String
    /// Its length in bytes.
    var size: Int64
    /// `sha256:` and its digest.
    var digest: String
    /// What it says of its programs.
    var configuration: ImageConfiguration
    /// Where its layers came from; nil for one that was built.
    var origin: ImageOrigin?

    /// What its kernel is imported from, where it came with one.
    var kernel: KernelSourceFile?

    /// A file beside the ext4 file.
    struct KernelSourceFile: Codable, Sendable {
        var name: String
        /// Its length in bytes.
        var size: Int64
    }

    var files: [String: Int64] {
        var files = [file: size]
        if let kernel { files[kernel.name] = kernel.size }
        return files
    }
}
