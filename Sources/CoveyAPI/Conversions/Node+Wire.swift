package import CoveyModel
internal import SwiftProtobuf

extension Covey_V1_Node {
    /// The message of a node.
    package init(_ model: Node) {
        self.init()
        metadata = Covey_V1_Metadata(model.metadata)
        status.instance = model.status.instance.description
        status.architecture = model.status.architecture.wire
        status.kernelRelease = model.status.kernelRelease
        status.cpus = Int64(model.status.cpus)
        status.memoryBytes = model.status.memory.bytes
        status.version = model.status.version
        status.drivers = model.status.drivers.map { facts in
            .with {
                $0.driver = facts.driver.wire
                $0.available = facts.available
                if let reason = facts.reason { $0.reason = reason }
                if let version = facts.version { $0.version = version }
                $0.accelerators = facts.accelerators.map(\.wire)
            }
        }
        status.disks = model.status.disks.map { facts in
            .with {
                $0.strategy = facts.strategy.wire
                $0.available = facts.available
                if let reason = facts.reason { $0.reason = reason }
                $0.chosen = facts.chosen
            }
        }
        status.conditions = model.status.conditions.map { Covey_V1_Condition($0) }
    }
}

extension DriverFacts {
    /// The value of a message.
    package init(_ message: Covey_V1_DriverFacts) throws(CoveyError) {
        self.init(
            driver: try DriverName(wire: message.driver, "driver"), available: message.available,
            reason: message.hasReason ? message.reason : nil, version: message.hasVersion ? message.version : nil,
            accelerators: try message.accelerators.converted { accelerator throws(CoveyError) in
                try Accelerator(wire: accelerator, "accelerator")
            })
    }
}

extension Node {
    /// The value of a message.
    package init(_ message: Covey_V1_Node) throws(CoveyError) {
        guard let instance = InstanceID(message.status.instance) else {
            throw CoveyError(.invalid, "status.instance \"\(message.status.instance)\" is no instance id")
        }
        self.init(
            metadata: try Metadata(message.metadata),
            status: NodeStatus(
                instance: instance,
                architecture: try Architecture(wire: message.status.architecture, "status.architecture"),
                kernelRelease: message.status.kernelRelease, cpus: try Int(wire: message.status.cpus, "status.cpus"),
                memory: ByteCount(message.status.memoryBytes), version: message.status.version,
                drivers: try message.status.drivers.converted { facts throws(CoveyError) in try DriverFacts(facts) },
                disks: try message.status.disks.converted { facts throws(CoveyError) in
                    DiskStrategyFacts(
                        strategy: try DiskStrategy(wire: facts.strategy, "strategy"), available: facts.available,
                        reason: facts.hasReason ? facts.reason : nil, chosen: facts.chosen)
                },
                conditions: try message.status.conditions.converted { condition throws(CoveyError) in
                    try Condition(condition)
                }))
    }
}

extension Covey_V1_Leak {
    /// The message of a leak.
    package init(_ model: Leak) {
        self.init()
        id = model.id
        kind = model.kind
        name = model.name
        reason = model.reason
    }
}

extension Leak {
    /// The value of a message.
    package init(_ message: Covey_V1_Leak) {
        self.init(id: message.id, kind: message.kind, name: message.name, reason: message.reason)
    }
}

extension Covey_V1_VersionResponse {
    /// The message of a version.
    package init(_ model: DaemonVersion) {
        self.init()
        version = model.version
        if let commit = model.commit { self.commit = commit }
        instance = model.instance
        if let root = model.root { self.root = root }
    }
}

extension DaemonVersion {
    /// The value of a message.
    package init(_ message: Covey_V1_VersionResponse) {
        self.init(
            version: message.version, commit: message.commit.isEmpty ? nil : message.commit,
            instance: message.instance, root: message.hasRoot ? message.root : nil)
    }
}
