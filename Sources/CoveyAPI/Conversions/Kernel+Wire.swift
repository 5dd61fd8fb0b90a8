package import CoveyModel
internal import SwiftProtobuf

extension Covey_V1_Kernel {
    /// The message of a kernel.
    package init(_ model: Kernel) {
        self.init()
        metadata = Covey_V1_Metadata(model.metadata)
        spec.source = model.spec.source
        spec.isDefault = model.spec.isDefault
        spec.architecture = model.spec.architecture.wire
        status.state = model.status.state.wire
        if let node = model.status.node { status.node = node.description }
        if let release = model.status.release { status.release = release }
        if let digest = model.status.digest { status.digest = digest }
        if let payload = model.status.payload { status.payload = payload }
        status.modules = Int64(model.status.modules)
        if model.status.drivers != nil || model.status.boots != nil {
            status.abilities = .with { message in
                message.drivers = (model.status.drivers ?? []).map { driver in
                    .with { item in
                        item.name = driver.name
                        item.presence = driver.presence.wire
                    }
                }
                message.boots = model.status.boots ?? []
            }
        }
        if let allocated = model.status.allocated { status.allocatedBytes = allocated.bytes }
        if let error = model.status.lastError { status.lastError = Covey_V1_Error(error) }
    }
}

extension Kernel {
    /// The value of a message.
    package init(_ message: Covey_V1_Kernel) throws(CoveyError) {
        var status = KernelStatus(state: try ArtifactState(wire: message.status.state, "status.state"))
        if message.status.hasNode { status.node = try NodeID(wire: message.status.node, "status.node") }
        if message.status.hasRelease { status.release = message.status.release }
        if message.status.hasDigest { status.digest = message.status.digest }
        if message.status.hasPayload { status.payload = message.status.payload }
        status.modules = try Int(wire: message.status.modules, "status.modules")
        if message.status.hasAbilities {
            status.drivers = try message.status.abilities.drivers.converted { item throws(CoveyError) in
                KernelDriver(
                    name: item.name, presence: try KernelDriver.Presence(wire: item.presence, "presence"))
            }
            status.boots = message.status.abilities.boots
        }
        if message.status.hasAllocatedBytes { status.allocated = ByteCount(message.status.allocatedBytes) }
        if message.status.hasLastError { status.lastError = try CoveyError(message.status.lastError) }
        self.init(
            metadata: try Metadata(message.metadata),
            spec: KernelSpec(
                source: message.spec.source, isDefault: message.spec.isDefault,
                architecture: try Architecture(wire: message.spec.architecture, "spec.architecture")),
            status: status)
    }
}
