internal import CoveyModel
internal import Synchronization

/// Which volumes are being copied: nobody may begin to write to them meanwhile.
///
/// Who copies enters first and then looks whether a machine writes; a machine says first that it starts and then looks
/// here. So one of the two sees the other.
package final class VolumeGate: Sendable {
    private let copied = Mutex<[VolumeID: Int]>([:])

    /// A gate that nobody has entered.
    package init() {}

    /// A copy begins.
    func enter(_ id: VolumeID) { copied.withLock { $0[id, default: 0] += 1 } }

    /// A copy has ended.
    func leave(_ id: VolumeID) {
        copied.withLock { copied in
            let left = (copied[id] ?? 1) - 1
            copied[id] = left > 0 ? left : nil
        }
    }

    /// Whether a volume is being copied.
    func isCopied(_ id: VolumeID) -> Bool { copied.withLock { $0[id] != nil } }
}
