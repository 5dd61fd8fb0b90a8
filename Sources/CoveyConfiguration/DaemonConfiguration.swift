package import CoveyModel

/// What a daemon is told.
package struct DaemonConfiguration: Hashable, Sendable {
    /// The severities of log lines, least first.
    package enum LogLevel: String, CaseIterable, Sendable {
        case trace, debug, info, notice, warning, error, critical
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
    /// Where state is kept: an address that begins with `etcd://`; nil is the root's own file.
    package var store: String?
}
