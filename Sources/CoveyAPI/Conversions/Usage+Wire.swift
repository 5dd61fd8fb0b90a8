package import CoveyModel

extension Covey_V1_DiskUsage {
    /// The message of a figure.
    package init(_ model: DiskUsage) {
        self.init()
        kind = model.kind.wire
        count = Int64(model.count)
        sizeBytes = model.size.bytes
        allocatedBytes = model.allocated.bytes
        reclaimableBytes = model.reclaimable.bytes
    }
}

extension DiskUsage {
    /// The value of a message.
    package init(_ message: Covey_V1_DiskUsage) throws(CoveyError) {
        self.init(
            kind: try Kind(wire: message.kind, "kind"), count: try Int(wire: message.count, "count"),
            size: ByteCount(message.sizeBytes), allocated: ByteCount(message.allocatedBytes),
            reclaimable: ByteCount(message.reclaimableBytes))
    }
}

extension Covey_V1_PrunedItem {
    /// The message of an item.
    package init(_ model: PrunedItem) {
        self.init()
        kind = model.kind.wire
        name = model.name
        freedBytes = model.freed.bytes
    }
}

extension PrunedItem {
    /// The value of a message.
    package init(_ message: Covey_V1_PrunedItem) throws(CoveyError) {
        self.init(
            kind: try Kind(wire: message.kind, "kind"), name: message.name, freed: ByteCount(message.freedBytes))
    }
}

extension DiskUsage.Kind: WireEnumeration {
    package var wire: Covey_V1_DiskUsageKind {
        switch self {
        case .images: .images
        case .blobs: .blobs
        case .kernels: .kernels
        case .volumes: .volumes
        case .machines: .machines
        }
    }
}

extension PrunedItem.Kind: WireEnumeration {
    package var wire: Covey_V1_PrunedItemKind {
        switch self {
        case .image: .image
        case .blob: .blob
        case .download: .download
        }
    }
}
