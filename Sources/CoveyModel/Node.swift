/// A host that runs machines.
package struct Node: Hashable, Codable, Sendable {
    /// Id and name; the name is the host's.
    package var metadata: Metadata<Node>
    /// What the host is and can do.
    package var status: NodeStatus

    /// Puts the parts together.
    package init(metadata: Metadata<Node>, status: NodeStatus) {
        self.metadata = metadata
        self.status = status
    }
}

/// What a driver found on the host.
package struct DriverFacts: Hashable, Codable, Sendable {
    /// The driver.
    package var driver: DriverName
    /// Whether it can run machines.
    package var available: Bool
    /// Why not, or why not faster.
    package var reason: String?
    /// The VMM's version.
    package var version: String?
    /// The accelerators that work.
    package var accelerators: [Accelerator]

    /// Makes facts.
    package init(
        driver: DriverName, available: Bool, reason: String? = nil, version: String? = nil,
        accelerators: [Accelerator] = []
    ) {
        self.driver = driver
        self.available = available
        self.reason = reason
        self.version = version
        self.accelerators = accelerators
    }
}

/// What was seen of a node.
package struct NodeStatus: Hashable, Codable, Sendable {
    /// The daemon root's instance.
    package var instance: InstanceID
    /// The CPU architecture.
    package var architecture: Architecture
    /// The host's kernel release.
    package var kernelRelease: String
    /// CPUs online.
    package var cpus: Int
    /// Memory in all.
    package var memory: ByteCount
    /// Covey's version there.
    package var version: String
    /// What the drivers found.
    package var drivers: [DriverFacts]
    /// What came of trying each way to make root disks.
    @EmptyWhenAbsent package var disks: [DiskStrategyFacts]
    /// What is to be said of it: limits that cannot be set, records set aside.
    package var conditions: [Condition]

    /// Makes a status.
    package init(
        instance: InstanceID, architecture: Architecture, kernelRelease: String, cpus: Int, memory: ByteCount,
        version: String, drivers: [DriverFacts] = [], disks: [DiskStrategyFacts] = [], conditions: [Condition] = []
    ) {
        self.instance = instance
        self.architecture = architecture
        self.kernelRelease = kernelRelease
        self.cpus = cpus
        self.memory = memory
        self.version = version
        self.drivers = drivers
        _disks = EmptyWhenAbsent(wrappedValue: disks)
        self.conditions = conditions
    }
}
