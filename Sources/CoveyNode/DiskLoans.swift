internal import CoveyModel
internal import Synchronization

/// The machines whose disks are being copied: they do not start meanwhile.
///
/// Who copies lends first and looks at the machine's phase then; a start stores its phase first and looks for a loan
/// then. At least one of the two sees the other.
final class DiskLoans: Sendable {
    private let machines = Mutex<[MachineID: Int]>([:])

    /// None is lent.
    init() {}

    /// Whether a machine's disk is being copied.
    func isLent(_ id: MachineID) -> Bool { machines.withLock { $0[id] != nil } }

    /// Lends a machine's disk for the time of `body`.
    func lend<T: Sendable>(_ id: MachineID, _ body: () async throws -> T) async rethrows -> T {
        machines.withLock { $0[id, default: 0] += 1 }
        defer {
            machines.withLock { machines in
                let left = (machines[id] ?? 1) - 1
                machines[id] = left > 0 ? left : nil
            }
        }
        return try await body()
    }
}
