package import CoveyModel

extension Covey_V1_Volume {
    /// The message of a volume.
    package init(_ model: Volume) {
        self.init()
        metadata = Covey_V1_Metadata(model.metadata)
        spec.sizeBytes = model.spec.size.bytes
        spec.format = model.spec.format.wire
        if let source = model.spec.source { spec.source = source.description }
        spec.attachments = model.spec.attachments.map { Covey_V1_VolumeAttachment($0) }
        spec.deleting = model.spec.deleting
        status.state = model.status.state.wire
        if let node = model.status.node { status.node = node.description }
        if let size = model.status.size { status.sizeBytes = size.bytes }
        if let allocated = model.status.allocated { status.allocatedBytes = allocated.bytes }
        if let error = model.status.lastError { status.lastError = Covey_V1_Error(error) }
    }
}

extension Volume {
    /// The value of a message.
    package init(_ message: Covey_V1_Volume) throws(CoveyError) {
        var spec = VolumeSpec(
            size: ByteCount(message.spec.sizeBytes),
            format: try VolumeFormat(wire: message.spec.format, "spec.format"))
        if message.spec.hasSource { spec.source = try VolumeID(wire: message.spec.source, "spec.source") }
        spec.attachments = try message.spec.attachments.converted { attachment throws(CoveyError) in
            try VolumeAttachment(attachment)
        }
        spec.deleting = message.spec.deleting
        var status = VolumeStatus(state: try ArtifactState(wire: message.status.state, "status.state"))
        if message.status.hasNode { status.node = try NodeID(wire: message.status.node, "status.node") }
        if message.status.hasSizeBytes { status.size = ByteCount(message.status.sizeBytes) }
        if message.status.hasAllocatedBytes { status.allocated = ByteCount(message.status.allocatedBytes) }
        if message.status.hasLastError { status.lastError = try CoveyError(message.status.lastError) }
        self.init(metadata: try Metadata(message.metadata), spec: spec, status: status)
    }
}

extension Covey_V1_VolumeAttachment {
    /// The message of an attachment.
    package init(_ model: VolumeAttachment) {
        self.init()
        machineID = model.machine.description
        name = model.name
        path = model.path
        readOnly = model.readOnly
    }
}

extension VolumeAttachment {
    /// The value of a message.
    package init(_ message: Covey_V1_VolumeAttachment) throws(CoveyError) {
        self.init(
            machine: try MachineID(wire: message.machineID, "machine_id"), name: message.name, path: message.path,
            readOnly: message.readOnly)
    }
}

extension Covey_V1_VolumeMount {
    /// The message of a mount.
    package init(_ model: VolumeMount) {
        self.init()
        volume = model.volume
        if let id = model.volumeID { volumeID = id.description }
        path = model.path
        readOnly = model.readOnly
    }
}

extension VolumeMount {
    /// The value of a message.
    package init(_ message: Covey_V1_VolumeMount) throws(CoveyError) {
        self.init(
            volume: message.volume,
            volumeID: message.hasVolumeID ? try VolumeID(wire: message.volumeID, "volume_id") : nil,
            path: message.path, readOnly: message.readOnly)
    }
}

extension Covey_V1_ScratchDisk {
    /// The message of a scratch disk.
    package init(_ model: ScratchDisk) {
        self.init()
        sizeBytes = model.size.bytes
        path = model.path
    }
}

extension ScratchDisk {
    /// The value of a message.
    package init(_ message: Covey_V1_ScratchDisk) {
        self.init(
            size: ByteCount(message.sizeBytes),
            path: message.path.isEmpty ? ScratchDisk.standardPath : message.path)
    }
}
