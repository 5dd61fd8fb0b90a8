package import CoveyModel
package import CoveyNode
package import CoveyRegistry
package import Logging

/// All that a daemon is told.
package struct DaemonSettings: Sendable {
    /// Where things lie.
    package var paths: DaemonPaths
    /// The root, where one was given.
    package var root: String?
    /// The commit that the program was built from.
    package var commit: String?
    /// The group that may open the socket; nil leaves root's.
    package var socketGroup: UInt32?
    /// QEMU's program; nil searches `PATH`.
    package var qemu: String?
    /// What a machine gets whose request does not say.
    package var defaultCPUs: Int
    /// What a machine gets whose request does not say.
    package var defaultMemory: ByteCount
    /// The accelerator of machines that leave it open.
    package var accelerator: Accelerator
    /// The most that all guest memories take; nil is nine tenths of the host's.
    package var guestMemory: ByteCount?
    /// How root disks are made.
    package var diskStrategy: DiskStrategyChoice
    /// What can be configured of the node.
    package var node: NodeSettings
    /// Calls a second that one user may make; nil is the server's default.
    package var rateLimit: Int?
    /// The address of the store, `etcd://…`, or `etcd` for a member of the root's own; nil is a file below the root.
    package var store: String?
    /// The node's name among the daemons of one store; nil is the host's.
    package var nodeName: String?
    /// What the root's own member is told.
    package var etcd = OwnEtcdSettings()
    /// What is said of registries.
    package var registries: RegistrySettings
    /// The catalogs of images and kernels.
    package var catalogs: [CatalogSource] = []
    /// A PEM file of further authorities for them.
    package var catalogCA: String?
    /// The mirror that Debian images are built from; nil is the host's own.
    package var imageMirror: String?
    /// Whether machines have networks.
    package var hasNetworks = true
    /// Where this host asks for machines' names; nil is nowhere.
    package var namesEndpoint: (address: IPAddress, port: UInt16)?
    /// Where names that are no machines' are asked for; empty is where this host asks.
    package var resolvers: [IPAddress] = []
    /// Interfaces that are made ahead of need.
    package var spareTaps = 8
    /// A PEM file of further authorities that machines trust; nil is none.
    package var guestAuthorities: String?
    /// What is logged.
    package var logLevel: Logger.Level

    /// Settings with defaults.
    package init(paths: DaemonPaths, root: String? = nil) {
        self.paths = paths
        self.root = root
        defaultCPUs = 1
        defaultMemory = .mebibytes(256)
        accelerator = .auto
        diskStrategy = .auto
        node = NodeSettings()
        registries = RegistrySettings()
        logLevel = .info
    }
}
