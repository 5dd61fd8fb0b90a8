/// A disk of its own that outlives the machines that it is attached to.
package struct Volume: Hashable, Codable, Sendable {
    /// Id, name, tenant, labels.
    package var metadata: Metadata<Volume>
    /// What is wanted.
    package var spec: VolumeSpec
    /// What was seen.
    package var status: VolumeStatus

    /// Puts the parts together.
    package init(metadata: Metadata<Volume>, spec: VolumeSpec, status: VolumeStatus) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// The id of a volume.
package typealias VolumeID = Identifier<Volume>

/// What lies on a volume when it is made.
package enum VolumeFormat: String, Codable, Sendable, CaseIterable {
    /// An ext4 file system, which the guest agent mounts.
    case ext4
    /// Nothing: the machine sees a block device.
    case raw
}

/// A machine that has a volume.
package struct VolumeAttachment: Hashable, Codable, Sendable {
    /// The machine.
    package var machine: MachineID
    /// Its name, for people; it follows when the machine is renamed.
    package var name: String
    /// Where the machine sees it.
    package var path: String
    /// Whether the machine may only read.
    package var readOnly: Bool

    /// Makes an attachment.
    package init(machine: MachineID, name: String, path: String, readOnly: Bool) {
        self.machine = machine
        self.name = name
        self.path = path
        self.readOnly = readOnly
    }
}

/// What is wanted of a volume.
package struct VolumeSpec: Hashable, Codable, Sendable {
    /// Its size; it grows and never shrinks.
    package var size: ByteCount
    /// What lies on it when it is made.
    package var format: VolumeFormat
    /// The volume that it was copied from; nil for a new one.
    package var source: VolumeID?
    /// The machines that have it: one that may write, or any number that may read.
    package var attachments: [VolumeAttachment]
    /// Whether it is to be deleted.
    package var deleting: Bool

    /// Makes a spec of a volume that nobody has.
    package init(size: ByteCount, format: VolumeFormat = .ext4, source: VolumeID? = nil) {
        self.size = size
        self.format = format
        self.source = source
        attachments = []
        deleting = false
    }
}

/// What was seen of a volume.
package struct VolumeStatus: Hashable, Codable, Sendable {
    /// Whether it can be used.
    package var state: ArtifactState
    /// The node whose disk holds it.
    package var node: NodeID?
    /// Its size on the node.
    package var size: ByteCount?
    /// Bytes that it takes on the node's disk.
    package var allocated: ByteCount?
    /// Why it failed.
    package var lastError: CoveyError?

    /// The status of a volume that was just asked for.
    package init(state: ArtifactState = .pending, node: NodeID? = nil) {
        self.state = state
        self.node = node
    }
}

/// A volume as a machine sees it.
package struct VolumeMount: Hashable, Codable, Sendable {
    /// The volume's name as the user wrote it.
    package var volume: String
    /// The volume that the name meant.
    package var volumeID: VolumeID?
    /// Where it is mounted; for a raw one, the link to its device.
    package var path: String
    /// Whether the machine may only read.
    package var readOnly: Bool

    /// Makes a mount.
    package init(volume: String, volumeID: VolumeID? = nil, path: String, readOnly: Bool = false) {
        self.volume = volume
        self.volumeID = volumeID
        self.path = path
        self.readOnly = readOnly
    }

    /// Reads `NAME:PATH` or `NAME:PATH:ro`. Nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
        guard parts.count == 2 || (parts.count == 3 && (parts[2] == "ro" || parts[2] == "rw")), !parts[0].isEmpty,
            !parts[1].isEmpty
        else { return nil }
        self.init(volume: parts[0], path: parts[1], readOnly: parts.count == 3 && parts[2] == "ro")
    }
}

/// A disk that lives and dies with its machine.
package struct ScratchDisk: Hashable, Codable, Sendable {
    /// Its size.
    package var size: ByteCount
    /// Where it is mounted.
    package var path: String

    /// Where it is mounted unless somebody says otherwise.
    package static let standardPath = "/scratch"

    /// Makes one.
    package init(size: ByteCount, path: String = ScratchDisk.standardPath) {
        self.size = size
        self.path = path
    }

    /// Reads `SIZE` or `SIZE:PATH`. Nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
        guard parts.count == 1 || (parts.count == 2 && !parts[1].isEmpty), let size = ByteCount(parts[0]) else {
            return nil
        }
        self.init(size: size, path: parts.count == 2 ? parts[1] : ScratchDisk.standardPath)
    }
}
