/// A CPU architecture, as `uname -m` writes it.
package enum Architecture: String, Codable, Sendable, CaseIterable {
    case amd64 = "x86_64"
    case arm64 = "aarch64"
}

/// A read-only root file system with its configuration, content-addressed.
package struct Image: Hashable, Codable, Sendable {
    /// Id, name, tenant, labels. The name is a reference as docker writes it.
    package var metadata: Metadata<Image>
    /// Where it came from and what it says.
    package var spec: ImageSpec
    /// What is on this node.
    package var status: ImageStatus

    /// Puts the parts together.
    package init(metadata: Metadata<Image>, spec: ImageSpec, status: ImageStatus) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// What a user asked of an image.
package struct ImageSpec: Hashable, Codable, Sendable {
    /// How it is made.
    package enum Source: Hashable, Codable, Sendable {
        /// The busybox image that needs no build.
        case builtIn
        /// A Debian suite, built by mmdebstrap.
        case debian(suite: String)
        /// An image of layers from a registry.
        case registry(pull: RegistryPull)
    }

    /// How it is made.
    package var source: Source
    /// The CPU architecture.
    package var architecture: Architecture

    /// Makes a spec.
    package init(source: Source, architecture: Architecture = .amd64) {
        self.source = source
        self.architecture = architecture
    }
}

/// What an image says of its programs, as in the OCI image configuration.
package struct ImageConfiguration: Hashable, Codable, Sendable {
    /// What always runs first.
    package var entrypoint: [String]
    /// The arguments, or the program where there is no entrypoint.
    package var command: [String]
    /// Environment of every program.
    package var environment: [String: String]
    /// The folder programs start in.
    package var workingDirectory: String?
    /// The user programs run as.
    package var user: String?
    /// The image's own init, absolute; nil where the agent stays PID 1.
    package var initPath: String?

    /// Makes a configuration.
    package init(
        entrypoint: [String] = [], command: [String] = [], environment: [String: String] = [:],
        workingDirectory: String? = nil, user: String? = nil, initPath: String? = nil
    ) {
        self.entrypoint = entrypoint
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
        self.initPath = initPath
    }
}

extension ImageConfiguration {
    private static let shells: Set<String> = ["sh", "ash", "bash", "dash", "busybox"]

    /// Whether its command does something by itself: a bare shell without a terminal would end at once, and a machine
    /// of such an image waits for programs instead.
    package var hasOwnProgram: Bool {
        guard let name = command.first?.split(separator: "/").last else { return false }
        return command.count > 1 || !ImageConfiguration.shells.contains(String(name))
    }
}

/// Whether an image or kernel can be used.
package enum ArtifactState: String, Codable, Sendable, CaseIterable { case pending, building, ready, failed, deleting }

/// What is on the node of an image.
package struct ImageStatus: Hashable, Codable, Sendable {
    /// Whether it can be used.
    package var state: ArtifactState
    /// `sha256:` and the digest of the ext4 file.
    package var digest: String?
    /// The file system's size.
    package var size: ByteCount?
    /// Bytes that it takes on the node's disk.
    package var allocated: ByteCount?
    /// What it says of its programs.
    package var configuration: ImageConfiguration
    /// Where its layers came from; nil for one that was built.
    package var origin: ImageOrigin?
    /// Why it failed.
    package var lastError: CoveyError?

    /// The status of an image that was just asked for.
    package init(state: ArtifactState = .pending) {
        self.state = state
        configuration = ImageConfiguration()
    }
}

/// A Linux kernel with its modules, initramfs and tools disk.
package struct Kernel: Hashable, Codable, Sendable {
    /// Id, name, tenant, labels. The name is the release name.
    package var metadata: Metadata<Kernel>
    /// Where it came from.
    package var spec: KernelSpec
    /// What is on this node.
    package var status: KernelStatus

    /// Puts the parts together.
    package init(metadata: Metadata<Kernel>, spec: KernelSpec, status: KernelStatus) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// Where a kernel came from.
package struct KernelSpec: Hashable, Codable, Sendable {
    /// The source as the user wrote it: `debian`, or a file's name.
    package var source: String
    /// Whether machines that name none get it.
    package var isDefault: Bool
    /// The CPU architecture.
    package var architecture: Architecture

    /// Makes a spec.
    package init(source: String, isDefault: Bool, architecture: Architecture = .amd64) {
        self.source = source
        self.isDefault = isDefault
        self.architecture = architecture
    }
}

/// What is on the node of a kernel.
package struct KernelStatus: Hashable, Codable, Sendable {
    /// Whether it can be used.
    package var state: ArtifactState
    /// The release that the kernel names itself, as `uname -r` prints it.
    package var release: String?
    /// `sha256:` and the digest of the ELF file.
    package var digest: String?
    /// How the kernel was packed: `lz4`, `gzip`, `xz`, `zstd`, `none`.
    package var payload: String?
    /// Modules in its tree.
    package var modules: Int
    /// Bytes that it takes on the node's disk.
    package var allocated: ByteCount?
    /// Why it failed.
    package var lastError: CoveyError?

    /// The status of a kernel that was just asked for.
    package init(state: ArtifactState = .pending) {
        self.state = state
        modules = 0
    }
}
