package import CoveyModel

/// The typed repositories over one store: nothing above them knows a key.
package struct Repositories: Sendable {
    /// Machines.
    package let machines: Machines
    /// Images.
    package let images: Images
    /// Kernels.
    package let kernels: Kernels
    /// Volumes.
    package let volumes: Volumes
    /// Networks.
    package let networks: Networks
    /// Operations.
    package let operations: Operations
    /// Events: what happened.
    package let events: Events
    /// Nodes.
    package let nodes: Nodes
    /// Runs of machines: intents and tombstones.
    package let runs: Runs

    /// The store, for what is beside records: its revision, compaction, its own work.
    package let store: any Store

    private init(_ core: RepositoryCore) {
        machines = Machines(core)
        images = Images(core)
        kernels = Kernels(core)
        volumes = Volumes(core)
        networks = Networks(core)
        operations = Operations(core)
        nodes = Nodes(core: core)
        events = Events(core: core)
        runs = Runs(core)
        store = core.store
    }

    /// Opens the records of a store, and marks an empty one with this program's format.
    ///
    /// - Parameters:
    ///   - store: The store.
    ///   - ids: Makes ids.
    ///   - now: The wall clock.
    ///   - pause: Waits a little after an attempt, counted from 0, that lost against another writer;
    ///     nil waits up to some milliseconds by chance.
    /// - Throws: ``ErrorCode/unsupported`` where the store asks for a newer program, ``ErrorCode/corrupt`` where its
    ///   mark cannot be read, ``ErrorCode/conflict`` where it is being filled or was moved elsewhere; nothing was touched
    ///   then.
    package static func open(
        _ store: any Store, ids: IdentifierSource, now: @escaping @Sendable () -> Timestamp,
        pause: (@Sendable (_ attempt: Int) async throws -> Void)? = nil
    ) async throws -> Repositories {
        let core = RepositoryCore(store: store, ids: ids, now: now, pause: pause ?? RepositoryCore.jitter)
        try await store.checkUsable()
        try await core.settle("opening the store") { () async throws -> Void? in
            if let entry = try await store.get(KeySpace.format) {
                let format = try StoreFormat.format.decode(entry.value)
                guard format.oldest <= StoreFormat.current else {
                    throw CoveyError(
                        .unsupported,
                        "the store asks for Covey \(format.program) or later, this is \(CoveyVersion.current)",
                        remedy: "install Covey \(format.program) or later; nothing was changed")
                }
                return ()
            }
            let format = StoreFormat(oldest: StoreFormat.current, program: CoveyVersion.current)
            var draft = Draft()
            draft.create(KeySpace.format, try StoreFormat.format.encode(format))
            return try await store.transact(draft.transaction).succeeded ? () : nil
        }
        return Repositories(core)
    }
}
