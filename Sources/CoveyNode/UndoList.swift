internal import Logging

/// What has to be taken back when a later step fails, run in reverse. Each is registered before the next step.
struct UndoList {
    private var steps: [@Sendable () async throws -> Void] = []

    /// Registers an undo.
    mutating func add(_ step: @escaping @Sendable () async throws -> Void) { steps.append(step) }

    /// All went well: nothing is taken back.
    mutating func disarm() { steps = [] }

    /// Takes everything back; a step that fails is logged, and the others are still run.
    mutating func run(_ logger: Logger) async {
        for step in steps.reversed() {
            do { try await step() } catch { logger.error("undo failed", metadata: ["error": "\(error)"]) }
        }
        steps = []
    }
}
