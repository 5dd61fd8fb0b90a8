package import CoveyGuestProtocol
package import CoveyImages
package import CoveyModel
package import CoveyNetwork
package import CoveyStore
package import CoveySystem
package import CoveyVMM
package import Logging

/// All that a node's workers stand on.
package struct MachineHost: Sendable {
    /// This node.
    package var node: NodeID
    /// The daemon root's instance.
    package var instance: InstanceID
    /// Where things lie.
    package var layout: NodeLayout
    /// The store.
    package var repositories: Repositories
    /// The VMM drivers, the default one first.
    package var drivers: [any VMMDriver]
    /// Starts processes and keeps their ends.
    package var supervisor: any ProcessSupervisor
    /// Images on this node.
    package var images: any ImageLibrary
    /// Kernels on this node.
    package var kernels: any KernelLibrary
    /// Catalogs of images and kernels.
    package var catalogs: any CatalogReader
    /// Disks of machines that are being copied.
    let loans = DiskLoans()
    /// What other nodes made and this one makes again.
    let copies = ArtifactCopies()
    /// Root disks.
    package var disks: any RootDiskStore
    /// Volumes on this node.
    package var volumes: any VolumeLibrary
    /// Which of them are being copied.
    package let volumeGate = VolumeGate()
    /// Reaches guest agents.
    package var guests: any GuestConnector
    /// The host's bridges, taps and firewall.
    package var network: any NetworkHost
    /// Answers machines' names.
    package var names: any NameService
    /// Time.
    package var clock: NodeClock
    /// Where tests let the agent die.
    package var faults: FaultPoints
    /// Threads for calls that block.
    package var pool: BlockingPool
    /// The log.
    package var logger: Logger
    /// What can be configured.
    package var settings: NodeSettings
    /// Makes the host key of a machine, at random.
    package var makeHostKey: @Sendable () -> SSHKeyPair

    /// Puts the parts together.
    package init(
        node: NodeID, instance: InstanceID, layout: NodeLayout, repositories: Repositories,
        drivers: [any VMMDriver], supervisor: any ProcessSupervisor, images: any ImageLibrary,
        kernels: any KernelLibrary, disks: any RootDiskStore, volumes: any VolumeLibrary,
        guests: any GuestConnector, clock: NodeClock, catalogs: any CatalogReader = NoCatalogs(),
        network: any NetworkHost = NoNetworks(), names: any NameService = NoNames(),
        faults: FaultPoints = FaultPoints(), pool: BlockingPool = BlockingPool(), logger: Logger,
        settings: NodeSettings = NodeSettings(), makeHostKey: @escaping @Sendable () -> SSHKeyPair
    ) {
        self.node = node
        self.instance = instance
        self.layout = layout
        self.repositories = repositories
        self.drivers = drivers
        self.supervisor = supervisor
        self.images = images
        self.kernels = kernels
        self.catalogs = catalogs
        self.disks = disks
        self.volumes = volumes
        self.guests = guests
        self.network = network
        self.names = names
        self.clock = clock
        self.faults = faults
        self.pool = pool
        self.logger = logger
        self.settings = settings
        self.makeHostKey = makeHostKey
    }

    /// The driver of a name, or the default. Errors: ``ErrorCode/unsupported``.
    func driver(_ name: DriverName?) throws -> any VMMDriver {
        if let driver = drivers.first(where: { name == nil || $0.name == name }) { return driver }
        throw CoveyError(
            .unsupported, "this daemon has no driver \(name?.rawValue ?? "at all")",
            remedy: "covey doctor lists the drivers")
    }

    /// The uid and gid that the VMM of a slot runs as: 65,536 for each instance, far above those of people.
    func user(slot: Int) -> UInt32 {
        let number = UInt32(instance.description, radix: 16) ?? 0
        return 0x6000_0000 + (number % 8192) * 65536 + UInt32(slot % 65536)
    }
}

/// What can be configured of a node.
package struct NodeSettings: Hashable, Sendable {
    /// How restarts by policy are spaced.
    package var backoff = Backoff()
    /// How long a guest agent may take to answer after a start.
    package var readyLimit: Duration = .seconds(180)
    /// How often everything is looked at again though nothing has said so.
    package var resyncInterval: Duration = .seconds(300)
    /// A run of this length makes earlier crashes forgotten.
    package var stableRun: Duration = .seconds(600)
    /// The most that a machine's console log may take.
    package var consoleLimit: ByteCount = .mebibytes(8)
    /// The accelerator of machines that leave it open.
    package var accelerator: Accelerator = .auto

    /// Certificate authorities that machines trust beside their image's, each in PEM form.
    package var certificates: [String] = []
    /// The HTTP proxy of machines' programs, as a URL; nil is none.
    package var proxy: String?

    /// The defaults.
    package init() {}

    /// What programs look for a proxy in, in the ways of curl and of most others.
    var proxyEnvironment: [String: String] {
        guard let proxy else { return [:] }
        var environment: [String: String] = [:]
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] { environment[name] = proxy }
        for name in ["no_proxy", "NO_PROXY"] { environment[name] = "localhost,127.0.0.1,::1,.vm" }
        return environment
    }
}
