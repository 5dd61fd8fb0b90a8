/// What one kind of things takes on a node's disk.
package struct DiskUsage: Hashable, Codable, Sendable {
    /// What is counted together.
    package enum Kind: String, Codable, Sendable, CaseIterable {
        case images
        /// Layers, configurations and manifests of images, as they came.
        case blobs
        case kernels
        case volumes
        /// Machines' disks, memories of their runs and logs.
        case machines
    }

    /// What is counted.
    package var kind: Kind
    /// How many there are.
    package var count: Int
    /// The length of their files, each once however many names it has.
    package var size: ByteCount
    /// Bytes that these take on disk.
    package var allocated: ByteCount
    /// Bytes of that which nothing needs: `image prune --all` gives back those of images and blobs, `rm` the others.
    package var reclaimable: ByteCount

    /// Makes a figure.
    package init(
        kind: Kind, count: Int = 0, size: ByteCount = ByteCount(0), allocated: ByteCount = ByteCount(0),
        reclaimable: ByteCount = ByteCount(0)
    ) {
        self.kind = kind
        self.count = count
        self.size = size
        self.allocated = allocated
        self.reclaimable = reclaimable
    }

    /// Counts one more file or thing.
    package mutating func add(count: Int = 0, size: Int64, allocated: Int64, isNeeded: Bool) {
        self.count += count
        self.size.bytes += size
        self.allocated.bytes += allocated
        if !isNeeded { reclaimable.bytes += allocated }
    }
}

/// Something that was pruned, or would be.
package struct PrunedItem: Hashable, Codable, Sendable {
    /// What it was.
    package enum Kind: String, Codable, Sendable, CaseIterable {
        case image
        /// A layer, configuration or manifest of no image.
        case blob
        /// What came of a blob whose pull has ended.
        case download
    }

    /// What it was.
    package var kind: Kind
    /// An image's name, a blob's digest.
    package var name: String
    /// Bytes that its end gives back; 0 for an image whose content has other names.
    package var freed: ByteCount

    /// Makes an item.
    package init(kind: Kind, name: String, freed: ByteCount) {
        self.kind = kind
        self.name = name
        self.freed = freed
    }
}

/// What a node's disk is used for.
package struct NodeUsage: Hashable, Codable, Sendable {
    /// One figure for each kind.
    package var figures: [DiskUsage]
    /// What would go if the images that were asked about did; images by their ids.
    package var items: [PrunedItem]

    /// Makes one.
    package init(figures: [DiskUsage], items: [PrunedItem]) {
        self.figures = figures
        self.items = items
    }
}
