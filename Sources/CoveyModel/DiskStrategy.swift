/// How a machine's root disk is made from its image without copying what both have in common.
package enum DiskStrategy: String, Codable, Sendable, CaseIterable {
    /// A file that shares the image's blocks until one of them is written (XFS, btrfs).
    case reflink
    /// A qcow2 file over the image, which QEMU reads through.
    case qcow2
    /// A device-mapper snapshot of the image.
    case deviceMapper = "device-mapper"
    /// A copy without the image's holes.
    case copy
}

/// Which strategy a node uses for new root disks.
package enum DiskStrategyChoice: Hashable, Sendable, CaseIterable, RawRepresentable {
    /// The first of ``DiskStrategy/allCases`` that works.
    case auto
    /// This one, and none where it does not work.
    case only(DiskStrategy)

    package static var allCases: [DiskStrategyChoice] { [.auto] + DiskStrategy.allCases.map { .only($0) } }

    package init?(rawValue: String) {
        if rawValue == "auto" {
            self = .auto
        } else if let strategy = DiskStrategy(rawValue: rawValue) {
            self = .only(strategy)
        } else {
            return nil
        }
    }

    package var rawValue: String {
        switch self {
        case .auto: "auto"
        case .only(let strategy): strategy.rawValue
        }
    }
}

/// What came of trying a strategy in the node's folders.
package struct DiskStrategyFacts: Hashable, Codable, Sendable {
    /// The strategy.
    package var strategy: DiskStrategy
    /// Whether a disk could be made.
    package var available: Bool
    /// Why not.
    package var reason: String?
    /// Whether new root disks are made so.
    package var chosen: Bool

    /// Makes facts.
    package init(strategy: DiskStrategy, available: Bool, reason: String? = nil, chosen: Bool = false) {
        self.strategy = strategy
        self.available = available
        self.reason = reason
        self.chosen = chosen
    }
}
