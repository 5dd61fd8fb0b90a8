internal import Synchronization

/// Tells work on a thread of its own that its caller has given up.
final class Flag: Sendable {
    private let raised = Atomic(false)

    /// Raises it.
    func raise() { raised.store(true, ordering: .relaxed) }

    /// Whether it was raised.
    var isRaised: Bool { raised.load(ordering: .relaxed) }
}
