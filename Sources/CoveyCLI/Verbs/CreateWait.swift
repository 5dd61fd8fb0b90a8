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

/// Waits until a machine is what the user wants to see.
struct MachineWait: Sendable {
    let goal: WaitGoal
    let limit: Duration?

    /// Errors: the machine's own where it failed on the way; ``ErrorCode/deadline``; ``ErrorCode/notFound``.
    func wait(_ client: CoveyClient, _ name: String) async throws {
        do {
            try await bounded(name) {
                try await client.watchMachines(name) { event in
                    switch event {
                    case .changed(let machine): return try reached(machine) ? true : nil
                    case .deleted(_, let gone):
                        if goal == .deleted { return true }
                        throw CoveyError.notFound("vm", gone)
                    case .synced: return nil
                    }
                }
            }
        } catch let error as CoveyError where error.code == .notFound && goal == .deleted {
            // It is gone already.
        }
    }

    /// Whether it is what is waited for.
    func reached(_ machine: VirtualMachine) throws(CoveyError) -> Bool {
        let phase = machine.status.phase
        switch goal {
        case .deleted: return false
        case .stopped: return phase == .stopped || phase == .failed
        case .running, .ready:
            if phase == .failed {
                throw machine.status.lastError
                    ?? CoveyError(.failure, "vm \(machine.metadata.name) failed", remedy: "see covey vm inspect")
            }
            guard phase == .running else { return false }
            guard goal == .ready else { return true }
            let ready = machine.status.conditions.first { $0.type == "Ready" }
            return ready.map { $0.state == .yes } ?? machine.status.timeline.contains { $0.stage == "ready" }
        }
    }

    private func bounded(_ name: String, _ body: @escaping @Sendable () async throws -> Bool) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask { try await body() }
            if let limit {
                group.addTask {
                    // The deadline itself: what is waited for cancels it.
                    try await Task.sleep(for: limit)
                    throw CoveyError(.deadline, "vm \(name) was not \(goal.rawValue) within \(limit.text)")
                }
            }
            _ = try await group.next()
            group.cancelAll()
        }
    }
}
