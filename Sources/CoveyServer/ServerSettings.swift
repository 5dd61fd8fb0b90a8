package import CoveyModel

/// What a server is told by its configuration.
package struct ServerSettings: Sendable {
    /// The path of the Unix socket.
    package var socket: String
    /// The group that may open it; nil leaves the process's own.
    package var socketGroup: UInt32?
    /// The node of this daemon.
    package var node: NodeID
    /// What the daemon says of itself.
    package var version: DaemonVersion
    /// What a machine gets whose request does not say.
    package var defaults: MachineDefaults
    /// What a machine may ask for.
    package var limits: MachineLimits
    /// The architecture of machines here.
    package var architecture: Architecture
    /// Calls that one caller may make.
    package var rateLimit: RateLimit
    /// The catalogs that the node reads, by name.
    package var catalogs: [String]
    /// How long a call to a node may take that is not a stream.
    package var nodeTimeout: Duration
    /// The largest request.
    package var largestMessage: ByteCount

    /// Makes settings.
    package init(
        socket: String, socketGroup: UInt32? = nil, node: NodeID, version: DaemonVersion,
        defaults: MachineDefaults = MachineDefaults(), limits: MachineLimits, architecture: Architecture = .amd64,
        rateLimit: RateLimit = RateLimit(), catalogs: [String] = [], nodeTimeout: Duration = .seconds(30),
        largestMessage: ByteCount = .mebibytes(16)
    ) {
        self.socket = socket
        self.socketGroup = socketGroup
        self.node = node
        self.version = version
        self.defaults = defaults
        self.limits = limits
        self.architecture = architecture
        self.rateLimit = rateLimit
        self.catalogs = catalogs
        self.nodeTimeout = nodeTimeout
        self.largestMessage = largestMessage
    }
}

/// What a machine gets whose request does not say.
package struct MachineDefaults: Hashable, Sendable {
    /// Virtual CPUs.
    package var cpus: Int
    /// Memory.
    package var memory: ByteCount
    /// The accelerator.
    package var accel: Accelerator

    /// Makes defaults.
    package init(cpus: Int = 1, memory: ByteCount = .mebibytes(256), accel: Accelerator = .auto) {
        self.cpus = cpus
        self.memory = memory
        self.accel = accel
    }
}

/// What a machine may ask for.
package struct MachineLimits: Hashable, Sendable {
    /// The host's CPUs.
    package var cpus: Int
    /// The host's memory.
    package var memory: ByteCount

    /// Makes limits of a host.
    package init(cpus: Int, memory: ByteCount) {
        self.cpus = cpus
        self.memory = memory
    }
}
