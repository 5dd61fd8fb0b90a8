internal import CoveyClient
internal import CoveyModel

/// Waits until a machine is what the user wants to see; also over a daemon that is replaced.
struct MachineWait: Sendable {
    let goal: WaitGoal
    let limit: Duration?

    /// Returns the machine as it was seen last; nil where it is gone.
    ///
    /// Errors: the machine's own where it failed on the way; ``ErrorCode/deadline``; ``ErrorCode/notFound``;
    /// ``ErrorCode/conflict`` for the end of a program that the machine has not.
    @discardableResult
    func wait(_ client: CoveyClient, _ name: String) async throws -> VirtualMachine? {
        do {
            return try await bounded(name) { try await seen(client, name) }
        } catch let error as CoveyError where error.code == .notFound && goal == .deleted {
            // It is gone already.
            return nil
        }
    }

    private func seen(_ client: CoveyClient, _ name: String) async throws -> VirtualMachine? {
        // Once it was seen, it is meant and no other of its name.
        let wanted = try await client.machine(name).metadata.id.description
        var patience = ContinuousClock.now + CoveyClient.patience
        while true {
            do {
                return try await watched(client, wanted)
            } catch let lost as CoveyError where lost.code == .unavailable {
                guard ContinuousClock.now < patience else { throw lost }
                // No event tells that a daemon is back.
                while CoveyClient.unreachable(client.endpoint) != nil, ContinuousClock.now < patience {
                    try await Task.sleep(for: .milliseconds(200))
                }
                guard CoveyClient.unreachable(client.endpoint) == nil else { throw lost }
                // A daemon that listens may still refuse: without a pause this would ask it as fast as it can.
                try await Task.sleep(for: .milliseconds(200))
                patience = max(patience, ContinuousClock.now + .seconds(5))
            }
        }
    }

    private func watched(_ client: CoveyClient, _ name: String) async throws -> VirtualMachine? {
        try await client.watchMachines(name) { event -> VirtualMachine?? in
            switch event {
            case .changed(let machine): return try reached(machine) ? .some(machine) : nil
            case .deleted(_, let gone):
                if goal == .deleted { return .some(nil) }
                throw CoveyError.notFound("vm", gone)
            case .synced: return nil
            }
        }
    }

    /// Whether it is what is waited for.
    func reached(_ machine: VirtualMachine) throws(CoveyError) -> Bool {
        let phase = machine.status.phase
        switch goal {
        case .deleted: return false
        case .stopped: return phase == .stopped || phase == .failed
        case .exit: return try ended(machine)
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

    private func ended(_ machine: VirtualMachine) throws(CoveyError) -> Bool {
        if machine.status.exitCode != nil { return true }
        let name = machine.metadata.name
        switch machine.status.phase {
        case .stopped, .failed:
            // A machine that was never started yet, or is about to be started again, may still end.
            guard machine.spec.wanted == .stopped || machine.status.lastEnd != nil else { return false }
            throw machine.status.lastError
                ?? CoveyError(
                    .failure, "vm \(name) ended without the exit code of its program",
                    remedy: "see how: covey vm inspect \(name)")
        case .running where machine.spec.program == nil && machine.isReady:
            throw CoveyError(
                .conflict, "vm \(name) has no program of its own that could end",
                remedy: "wait for stopped instead", resource: ResourceReference("vm", name))
        case .pending, .scheduled, .preparing, .starting, .running, .paused, .stopping, .deleting, .unknown:
            return false
        }
    }

    private func bounded(
        _ name: String, _ body: @escaping @Sendable () async throws -> VirtualMachine?
    ) async throws -> VirtualMachine? {
        try await withThrowingTaskGroup(of: VirtualMachine?.self) { group in
            group.addTask { try await body() }
            if let limit {
                group.addTask {
                    // The deadline itself: what is waited for cancels it.
                    try await Task.sleep(for: limit)
                    throw CoveyError(.deadline, "vm \(name) was not \(goal.state) within \(limit.text)")
                }
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { throw CancellationError() }
            return first
        }
    }
}

extension WaitGoal {
    /// What a machine is then.
    fileprivate var state: String {
        switch self {
        case .running, .ready, .stopped, .deleted: rawValue
        case .exit: "at the end of its program"
        }
    }
}

extension VirtualMachine {
    fileprivate var isReady: Bool { status.conditions.contains { $0.type == "Ready" && $0.state == .yes } }
}
