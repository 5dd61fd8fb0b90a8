internal import CoveyModel
internal import Synchronization

/// Operations that were seen before the worker of their machine was there.
final class EarlyOperations: Sendable {
    private let waiting = Mutex<[String: [OperationID: Operation]]>([:])

    /// Keeps an operation for the worker that will ask; a newer state replaces an older one.
    func keep(_ operation: Operation) {
        waiting.withLock { $0[operation.spec.targetID, default: [:]][operation.metadata.id] = operation }
    }

    /// What was kept for a machine, oldest first; nobody gets it twice.
    func take(_ machine: MachineID) -> [Operation] {
        let kept = waiting.withLock { $0.removeValue(forKey: machine.description) } ?? [:]
        return kept.values.sorted { $0.metadata.id < $1.metadata.id }
    }
}
