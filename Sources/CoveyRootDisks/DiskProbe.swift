internal import CoveyImages
package import CoveyModel
internal import CoveySystem
internal import Glibc

/// Finds out which strategies work on a node, by making a small disk with each.
package struct DiskProbe: Sendable {
    private static let prefix = ".probe-"

    private let images: String
    private let machines: String
    private let instance: InstanceID
    private let pool = BlockingPool("covey-disks")

    /// A probe of the folder that holds images and the one that holds disks.
    package init(images: String, machines: String, instance: InstanceID) {
        self.images = images
        self.machines = machines
        self.instance = instance
    }

    /// Tries every strategy, and chooses.
    ///
    /// - Throws: ``ErrorCode/unsupported`` with the reason where the one that was asked for does not work; what the
    ///   file system says where nothing can be made at all.
    package func run(_ choice: DiskStrategyChoice) async throws -> [DiskStrategyFacts] {
        let (images, machines) = (images, machines)
        let name = "\(DiskProbe.prefix)\(getpid())"
        try await pool.run { @Sendable () throws in
            // What an earlier daemon left when it was killed here.
            for folder in [images, machines] {
                try makeFolder(folder)
                for name in try listFolder(folder) where name.hasPrefix(DiskProbe.prefix) {
                    try removeTree("\(folder)/\(name)")
                }
            }
            try makeFolder("\(machines)/\(name)")
            try writeFileAtomically("\(images)/\(name)", [UInt8](repeating: 1, count: 1 << 20))
        }
        var facts: [DiskStrategyFacts] = []
        for strategy in DiskStrategy.allCases { facts.append(try await attempt(strategy, name)) }
        try await pool.run { @Sendable () throws in
            try removeTree("\(machines)/\(name)")
            try removeFile("\(images)/\(name)")
        }
        return try choose(choice, facts)
    }

    private func attempt(_ strategy: DiskStrategy, _ name: String) async throws -> DiskStrategyFacts {
        let store = RootDisks(strategy, instance: instance).store(strategy)
        let image = StoredImage(
            digest: "sha256:0", path: "\(images)/\(name)", size: .mebibytes(1), allocated: .mebibytes(1),
            configuration: ImageConfiguration())
        let path = "\(machines)/\(name)/root"
        do {
            _ = try await store.create(at: path, over: image, size: .mebibytes(2))
            try await store.remove(at: path)
            return DiskStrategyFacts(strategy: strategy, available: true)
        } catch {
            let known = CoveyError.wrapping(error)
            if known.code != .unsupported { try await store.remove(at: path) }
            return DiskStrategyFacts(
                strategy: strategy, available: false, reason: known.causes.last ?? known.message)
        }
    }

    private func choose(
        _ choice: DiskStrategyChoice, _ facts: [DiskStrategyFacts]
    ) throws -> [DiskStrategyFacts] {
        var facts = facts
        switch choice {
        case .auto:
            guard let first = facts.firstIndex(where: \.available) else {
                throw CoveyError(
                    .failure, "no root disk can be made in \(machines): \(facts.last?.reason ?? "unknown reason")")
            }
            facts[first].chosen = true
        case .only(let wanted):
            guard let index = facts.firstIndex(where: { $0.strategy == wanted }), facts[index].available else {
                let reason = facts.first { $0.strategy == wanted }?.reason ?? "unknown reason"
                throw CoveyError(
                    .unsupported, "disk.strategy \(wanted.rawValue) cannot be used here: \(reason)",
                    remedy: "use disk.strategy: auto")
            }
            facts[index].chosen = true
        }
        return facts
    }
}
