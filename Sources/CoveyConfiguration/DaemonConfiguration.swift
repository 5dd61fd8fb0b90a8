package import CoveyModel

/// What a daemon is told.
package struct DaemonConfiguration: Hashable, Sendable {
    /// The severities of log lines, least first.
    package enum LogLevel: String, CaseIterable, Sendable {
        case trace, debug, info, notice, warning, error, critical
    }

    /// Whether machines have networks.
    package enum NetworkMode: String, CaseIterable, Sendable { case auto, off }

    /// An address with a port.
    package struct Endpoint: Hashable, Sendable {
        package var address: IPAddress
        package var port: UInt16
    }

    /// Where it keeps its things; the socket's path is the configured one.
    package var folders: Folders
    /// Calls a second that one user may make.
    package var rateLimit: Int
    /// Bytes of a machine's console that are kept.
    package var consoleLimit: ByteCount
    /// How root disks are made.
    package var diskStrategy: DiskStrategyChoice
    /// The mirror that Debian images are built from; nil is apt's own.
    package var imageMirror: String?
    /// What is logged.
    package var logLevel: LogLevel
    /// The accelerator of machines that name none.
    package var accel: Accelerator
    /// CPUs of machines that name none.
    package var cpus: Int
    /// Memory of machines that name none.
    package var memory: ByteCount
    /// covey-guard; nil is the one beside this program.
    package var guardProgram: String?
    /// covey-guest; nil is the one beside this program.
    package var guestProgram: String?
    /// QEMU; nil is the one in `PATH`.
    package var qemuProgram: String?
    /// A PEM file of further authorities for registries; nil for none.
    package var registryAuthorities: String?
    /// URLs that are asked before a registry, by its host.
    package var registryMirrors: [String: [String]]
    /// Registries that are spoken to without TLS.
    package var registryPlainHTTP: Set<String>
    /// The group whose members may use the daemon; nil is root's own.
    package var socketGroup: String?
    /// The catalogs of images and kernels.
    package var catalogs: [CatalogSource]
    /// A PEM file of further authorities for them; nil is the system's alone.
    package var catalogCA: String?
    /// Whether machines have networks.
    package var network: NetworkMode
    /// Where this host asks for machines' names; nil is nowhere.
    package var names: Endpoint?
    /// Where names that are no machines' are asked for; empty is where this host asks.
    package var resolvers: [IPAddress]
    /// Interfaces that are made ahead of need.
    package var taps: Int
    /// The HTTP proxy of machines' programs; nil is none.
    package var guestProxy: String?
    /// A PEM file of further authorities that machines trust; nil is none.
    package var guestCA: String?
    /// Where state is kept: an address that begins with `etcd://`, or `etcd` for a member of the root's own; nil is
    /// the root's own file.
    package var store: String?
    /// The node's name among the daemons of one store; nil is the host's.
    package var nodeName: String?
    /// Where other hosts reach the daemon's own member of etcd; other members do at the next port. Nil is nowhere.
    package var etcdListen: Endpoint?
    /// Members that it joins when it is made, `HOST:PORT`; empty makes a cluster of its own.
    package var etcdJoin: [String]
    /// The folder with the authority that all members share; nil is one of its own.
    package var etcdAuthority: String?
}
