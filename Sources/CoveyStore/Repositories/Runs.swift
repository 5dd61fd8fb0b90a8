package import CoveyModel

/// How far a run of a machine is.
package enum RunState: String, Codable, Sendable, CaseIterable {
    /// The intent: host objects of this run may exist from now on.
    case launching
    /// Its handle is stored; the guest may run.
    case running
    /// The tombstone: whatever is left of this run may be removed.
    case finished
}

/// A run of a machine on a node.
package struct Run: Hashable, Codable, Sendable {
    /// The machine.
    package var machine: MachineID
    /// Part of the name of every host object of the run.
    package var generation: Int64
    /// How far it is.
    package var state: RunState
    /// When the intent was stored.
    package var startedAt: Timestamp
    /// When it was finished.
    package var finishedAt: Timestamp?
}

/// The runs on a node: intents, running ones and tombstones.
package struct Runs: Sendable {
    private let core: RepositoryCore
    private var machines: ResourceTable<VirtualMachine> { ResourceTable(core: core) }

    init(_ core: RepositoryCore) { self.core = core }

    /// Raises the machine's run generation and stores the intent of that run, in one transaction. Repeating it makes
    /// another run.
    ///
    /// - Parameter expected: The spec's revision that the start was decided on; nil takes any.
    /// - Throws: ``ErrorCode/notFound``; ``ErrorCode/conflict`` while another run of the machine is not finished, or
    ///   where the spec has another revision than `expected`.
    package func begin(_ machine: MachineID, expected: Revision? = nil) async throws -> (
        machine: VirtualMachine, run: Run
    ) {
        var attempted: Run?
        return try await core.settle("beginning a run of vm \(machine)") {
            () async throws -> (VirtualMachine, Run)? in
            var loaded = try await machines.load(machine)
            guard let node = loaded.record.node else {
                throw CoveyError(.conflict, "vm \(loaded.record.name) is bound to no node")
            }
            if let expected, loaded.specEntry.modRevision != expected {
                throw CoveyError(.conflict, "vm \(loaded.record.name) has changed since revision \(expected)")
            }
            var newest = loaded.status.runGeneration
            for entry in try await core.store.list(KeySpace.runs(node, machine)).entries {
                let run = try machines.read(entry) { try Run.format.decode($0) }
                if run == attempted { return (loaded.resource, run) }
                guard run.state == .finished else { throw Runs.unfinished(loaded.record.name, run) }
                newest = max(newest, run.generation)
            }
            loaded.status.runGeneration = newest + 1
            let run = Run(
                machine: machine, generation: newest + 1, state: .launching, startedAt: core.now(), finishedAt: nil)
            var draft = Draft()
            draft.expect(loaded.specEntry)
            draft.replace(
                loaded.statusEntry,
                try VirtualMachine.statusFormat.encode(loaded.status, over: loaded.statusEntry.value))
            draft.create(KeySpace.run(node, machine, run.generation), try Run.format.encode(run))
            attempted = run
            return try await core.store.transact(draft.transaction).succeeded ? (loaded.resource, run) : nil
        }
    }

    /// Marks a run as running; `change` goes into the machine's status in the same transaction.
    /// Errors: ``ErrorCode/conflict`` where it is finished already.
    package func markRunning(
        _ machine: MachineID, generation: Int64, change: @Sendable (inout MachineStatus) throws -> Void
    ) async throws -> VirtualMachine {
        try await machines.updateStatus(
            machine,
            also: { loaded, draft in
                guard let node = loaded.record.node, let entry = try await run(node, machine, generation) else {
                    throw CoveyError.notFound("run", "\(generation) of vm \(machine)")
                }
                var run = try machines.read(entry) { try Run.format.decode($0) }
                guard run.state != .finished else {
                    throw CoveyError(.conflict, "run \(generation) of vm \(loaded.record.name) is finished")
                }
                if run.state == .running { return }
                run.state = .running
                draft.replace(entry, try Run.format.encode(run, over: entry.value))
            }, change: change)
    }

    /// Marks a run as finished; idempotent. Only when nothing of it runs any more.
    package func finish(_ node: NodeID, _ machine: MachineID, generation: Int64) async throws {
        try await core.settle("finishing run \(generation) of vm \(machine)") { () async throws -> Void? in
            guard let entry = try await run(node, machine, generation) else { return () }
            var run = try machines.read(entry) { try Run.format.decode($0) }
            if run.state == .finished { return () }
            run.state = .finished
            run.finishedAt = core.now()
            var draft = Draft()
            draft.replace(entry, try Run.format.encode(run, over: entry.value))
            return try await core.store.transact(draft.transaction).succeeded ? () : nil
        }
    }

    /// All runs that a node knows.
    package func list(_ node: NodeID) async throws -> Listing<Run> {
        let (entries, revision) = try await core.store.list(KeySpace.runs(node))
        var listing = Listing<Run>(items: [], setAside: [], revision: revision)
        for entry in entries {
            do { listing.items.append(try Run.format.decode(entry.value)) } catch let error as CoveyError {
                listing.setAside.append(SetAside(key: entry.key, reason: error.description))
            }
        }
        return listing
    }

    /// Forgets a finished run, once nothing on the host carries its name; idempotent.
    /// Errors: ``ErrorCode/conflict`` where it is not finished.
    package func forget(_ node: NodeID, _ machine: MachineID, generation: Int64) async throws {
        try await core.settle("forgetting run \(generation) of vm \(machine)") { () async throws -> Void? in
            guard let entry = try await run(node, machine, generation) else { return () }
            let run = try machines.read(entry) { try Run.format.decode($0) }
            guard run.state == .finished else { throw Runs.unfinished(machine.description, run) }
            var draft = Draft()
            draft.expect(entry)
            draft.delete(entry.key)
            return try await core.store.transact(draft.transaction).succeeded ? () : nil
        }
    }

    private func run(_ node: NodeID, _ machine: MachineID, _ generation: Int64) async throws -> StoreEntry? {
        try await core.store.get(KeySpace.run(node, machine, generation))
    }

    /// A run that has to be finished first.
    static func unfinished(_ machine: String, _ run: Run) -> CoveyError {
        CoveyError(
            .conflict, "run \(run.generation) of vm \(machine) is \(run.state.rawValue)",
            remedy: "it ends when the node has cleaned up after it")
    }
}
