internal import CoveyClient
internal import CoveyModel

/// Waits after a creation or a start for what the user wants to see.
struct CreateWait: Sendable {
    let goal: CreateGoal
    let limit: Duration?
    let quiet: Bool

    /// Errors: the operation's own; ``ErrorCode/deadline``; ``ErrorCode/cancelled`` after Ctrl-C.
    func wait(_ client: CoveyClient, _ made: Mutation<VirtualMachine>) async throws {
        switch goal {
        case .created: return
        case .ready: try await client.finishShowing(made.operation, quiet: quiet, limit: limit)
        case .running:
            guard made.subject.spec.wanted == .running else { return }
            try await MachineWait(goal: .running, limit: limit).wait(client, made.subject.metadata.id.description)
        }
    }
}
