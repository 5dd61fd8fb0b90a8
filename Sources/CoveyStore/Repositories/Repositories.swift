package import CoveyModel

/// The typed repositories over one store: nothing above them knows a key.
package struct Repositories: Sendable {
    /// Machines.
    package let machines: Machines
    /// Images.
    package let images: Images
    /// Kernels.
    package let kernels: Kernels
    /// Operations.
    package let operations: Operations
    /// Nodes.
    package let nodes: Nodes
    /// Runs of machines: intents and tombstones.
    package let runs: Runs

    /// Opens the records of a store, and marks an empty one with this program's format.
    ///
    /// - Parameters:
    ///   - store: The store.
    ///   - ids: Makes ids.
    ///   - now: The wall clock.
    /// - Throws: ``ErrorCode/unsupported`` where the store asks for a newer program; nothing was touched then.
    package static func open(
        _ store: any Store, ids: IdentifierSource, now: @escaping @Sendable () -> Timestamp
    ) async throws -> Repositories {
        throw CoveyError(.unsupported, "not written")
    }
}
