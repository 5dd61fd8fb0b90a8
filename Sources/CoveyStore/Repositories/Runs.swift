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
    /// Raises the machine's run generation and stores the intent of that run, in one transaction. Repeating it makes
    /// another run.
    ///
    /// Errors: ``ErrorCode/notFound``; ``ErrorCode/conflict`` while another run of the machine is not finished.
    package func begin(_ machine: MachineID) async throws -> (machine: VirtualMachine, run: Run) {
        throw CoveyError(.unsupported, "not written")
    }

    /// Marks a run as running; `change` goes into the machine's status in the same transaction.
    /// Errors: ``ErrorCode/conflict`` where it is finished already.
    package func markRunning(
        _ machine: MachineID, generation: Int64, change: @Sendable (inout MachineStatus) throws -> Void
    ) async throws -> VirtualMachine { throw CoveyError(.unsupported, "not written") }

    /// Marks a run as finished; idempotent. Only when nothing of it runs any more.
    package func finish(_ node: NodeID, _ machine: MachineID, generation: Int64) async throws {
        throw CoveyError(.unsupported, "not written")
    }

    /// All runs that a node knows.
    package func list(_ node: NodeID) async throws -> Listing<Run> { throw CoveyError(.unsupported, "not written") }

    /// Forgets a finished run, once nothing on the host carries its name; idempotent.
    /// Errors: ``ErrorCode/conflict`` where it is not finished.
    package func forget(_ node: NodeID, _ machine: MachineID, generation: Int64) async throws {
        throw CoveyError(.unsupported, "not written")
    }
}
