package import CoveyModel
internal import CoveySystem
internal import Glibc

/// What a host's owner says of registries.
package struct RegistrySettings: Hashable, Sendable {
    /// Registries that may be spoken to without TLS, as in references: `localhost:5000`.
    package var plainHTTP: Set<String>
    /// Registries that are asked first: by the registry's host, URLs such as `https://mirror.example.com`.
    package var mirrors: [String: [String]]
    /// PEM files of further authorities.
    package var authorities: [String]
    /// Folders with `HOST/ca.crt`, as docker and podman keep them.
    package var authorityFolders: [String]
    /// The architecture that images are for.
    package var architecture: Architecture
    /// What an image may be.
    package var limits: UnpackLimits
    /// How long is waited.
    package var transfer: TransferLimits

    /// Settings; what is left out is empty.
    package init(
        plainHTTP: Set<String> = [], mirrors: [String: [String]] = [:], authorities: [String] = [],
        authorityFolders: [String] = ["/etc/containers/certs.d", "/etc/docker/certs.d"],
        architecture: Architecture = .amd64, limits: UnpackLimits = UnpackLimits(),
        transfer: TransferLimits = TransferLimits()
    ) {
        self.plainHTTP = plainHTTP
        self.mirrors = mirrors
        self.authorities = authorities
        self.authorityFolders = authorityFolders
        self.architecture = architecture
        self.limits = limits
        self.transfer = transfer
    }

    /// The authorities for a registry. Blocks.
    func authorities(for registry: String) throws(SystemError) -> [String] {
        var files = authorities
        for folder in authorityFolders {
            let own = "\(folder)/\(registry)"
            guard fileExists(own) else { continue }
            files += try listFolder(own).filter { $0.hasSuffix(".crt") }.map { "\(own)/\($0)" }
        }
        return files
    }
}

/// What an image may be before it is refused.
package struct UnpackLimits: Hashable, Sendable {
    /// Bytes of all blobs together.
    package var download: ByteCount = .gibibytes(64)
    /// Bytes of all files together, holes included.
    package var content: ByteCount = .gibibytes(128)
    /// Bytes of one file, holes included.
    package var file: ByteCount = .gibibytes(64)
    /// Files, folders and all else, replaced ones counted again.
    package var entries = 4_000_000
    /// Folders within each other.
    package var depth = 200
    /// Bytes of one file's extended attributes.
    package var attributes = 64 << 10

    /// The limits that hold for users.
    package init() {}
}
