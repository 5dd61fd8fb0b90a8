internal import Synchronization

/// What takes back the steps that were done, registered before each.
package final class UndoList: Sendable {
    private let steps = Mutex<[@Sendable () async throws -> Void]>([])

    /// A list without steps.
    package init() {}

    /// Registers the undo of the next step; it must be harmless where the step did nothing.
    package func add(_ step: @escaping @Sendable () async throws -> Void) { steps.withLock { $0.append(step) } }

    /// Takes the step back that was registered last, since it did not happen.
    package func dropLast() { steps.withLock { _ = $0.popLast() } }

    /// Forgets all steps.
    package func clear() { steps.withLock { $0 = [] } }

    /// Takes everything back, the latest first; a step that fails does not hold the others. Returns the failures.
    package func run() async -> [any Error] {
        let steps = steps.withLock { steps in
            defer { steps = [] }
            return steps
        }
        var failures: [any Error] = []
        for step in steps.reversed() {
            do { try await step() } catch { failures.append(error) }
        }
        return failures
    }
}
