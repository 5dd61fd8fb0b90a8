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
        /// A Debian suite, built by mmdebstrap; nil options are none.
        case debian(suite: String, options: DebianOptions? = nil)
        /// A file system that a client sent: the file's name for people, the hex digits that the node keeps it under
        /// until it is an image, and what the user says of its programs.
        case upload(name: String, token: String, choices: ImageChoices)
        /// The disk of a stopped machine, its name then, and the image that the disk stands on.
        case machine(id: MachineID, name: String, image: ImageID)
        /// An entry of a catalog, by the catalog's name in the configuration and the entry's; `insecure` where one
        /// without a key will do.
        case catalog(catalog: String, name: String, insecure: Bool)
        /// An image of layers from a registry.
        case registry(pull: RegistryPull)
    }

    /// How it is made.
    package var source: Source
    /// The CPU architecture.
    package var architecture: Architecture
    /// The name of the kernel that it is booted with where a machine names none; nil is the default kernel.
    package var kernel: String?
    /// The image that this is a further name of; nil for one that is made by itself. The source is then that one's.
    package var tagOf: ImageID?

    /// Makes a spec.
    package init(
        source: Source, architecture: Architecture = .amd64, kernel: String? = nil, tagOf: ImageID? = nil
    ) {
        self.source = source
        self.architecture = architecture
        self.kernel = kernel
        self.tagOf = tagOf
    }
}

extension ImageSpec {
    /// The image that has to stay until this one is made; nil where there is none.
    package var neededImage: ImageID? {
        if let tagOf { return tagOf }
        guard case .machine(_, _, let base) = source else { return nil }
        return base
    }

    /// The spec of a further name of an image that is ready.
    package func tag(of id: ImageID) -> ImageSpec {
        var spec = self
        spec.tagOf = id
        if case .registry(var pull) = source {
            // Credentials were kept for the pull alone.
            pull.access = nil
            spec.source = .registry(pull: pull)
        }
        return spec
    }

    /// Whether the same image can be had again from where it came.
    package var isPulled: Bool {
        switch source {
        case .registry, .catalog: true
        case .builtIn, .debian, .upload, .machine: false
        }
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
    /// What that init is; nil where it was not looked at.
    package var initSystem: InitSystem?

    /// Makes a configuration.
    package init(
        entrypoint: [String] = [], command: [String] = [], environment: [String: String] = [:],
        workingDirectory: String? = nil, user: String? = nil, initPath: String? = nil, initSystem: InitSystem? = nil
    ) {
        self.entrypoint = entrypoint
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
        self.initPath = initPath
        self.initSystem = initSystem
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
    /// The node that made it, and removes it; nil in records of older programs.
    package var node: NodeID?
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
    package init(state: ArtifactState = .pending, node: NodeID? = nil) {
        self.state = state
        self.node = node
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
    /// How a source begins that is an entry of a catalog.
    package static let catalogPrefix = "catalog:"
    /// How a source begins that is an entry of a catalog that may be without a key.
    package static let insecurePrefix = "catalog-insecure:"
    /// How a source begins that is the image of a bundle.
    package static let imagePrefix = "image:"

    /// The source: `debian`, `spool:TOKEN:NAME` of a file, `catalog:CATALOG/NAME`, `image:ID` of a bundle.
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
    /// The node that made it, and removes it; nil in records of older programs.
    package var node: NodeID?
    /// The release that the kernel names itself, as `uname -r` prints it.
    package var release: String?
    /// `sha256:` and the digest of the ELF file.
    package var digest: String?
    /// How the kernel was packed: `lz4`, `gzip`, `xz`, `zstd`, `none`.
    package var payload: String?
    /// Modules in its tree.
    package var modules: Int
    /// What microVMs use of it, and whether it has that; nil where it was not looked at.
    package var drivers: [KernelDriver]?
    /// The VMMs that can boot it; nil where it was not looked at.
    package var boots: [String]?
    /// Bytes that it takes on the node's disk.
    package var allocated: ByteCount?
    /// Why it failed.
    package var lastError: CoveyError?

    /// The status of a kernel that was just asked for.
    package init(state: ArtifactState = .pending, node: NodeID? = nil) {
        self.state = state
        self.node = node
        modules = 0
    }
}
