internal import CoveyModel

/// What is known of a stored kernel; `manifest.json` beside its files.
struct KernelManifest: ArtifactManifest {
    static var currentVersion: Int { 1 }

    /// A file of the kernel's folder.
    struct File: Codable, Sendable {
        var name: String
        /// Its length in bytes.
        var size: Int64
        /// `sha256:` and its digest.
        var digest: String
    }

    var version: Int
    /// What `uname -r` prints.
    var release: String
    /// How the kernel was packed.
    var payload: String
    /// Modules in its tree.
    var modules: Int
    /// What microVMs use of it; older manifests do not say.
    var drivers: [KernelDriver]?
    /// The VMMs that can boot it; older manifests do not say.
    var boots: [String]?
    /// The uncompressed kernel.
    var elf: File
    var initramfs: File
    var tools: File
    /// The digest of the guest agent that initramfs and tools disk were made for.
    var agent: String

    var files: [String: Int64] { [elf.name: elf.size, initramfs.name: initramfs.size, tools.name: tools.size] }
}
