internal import CoveyModel
internal import CoveyStore
internal import Logging

extension MachineWorker {
    /// An operation on this machine: new, or taken back.
    func take(_ operation: Operation) async throws {
        guard !operation.status.state.isFinal else {
            operations[operation.metadata.id] = nil
            return
        }
        operations[operation.metadata.id] = operation
        guard operation.spec.cancelRequested else { return }
        // Taking it back changes what is wanted; the state follows when that has come about.
        switch operation.spec.kind {
        case .createMachine:
            _ = try await host.repositories.machines.updateSpec(id) { $0.deleting = true }
        case .startMachine, .restartMachine:
            _ = try await host.repositories.machines.updateSpec(id) { $0.wanted = .stopped }
        case .stopMachine, .killMachine, .deleteMachine, .buildImage, .deleteImage, .importKernel, .deleteKernel,
            .createVolume, .resizeVolume, .deleteVolume:
            break
        }
    }

    /// Says of each operation how far it is, once the machine has come to rest or was found to be on its way.
    func settleOperations(_ machine: VirtualMachine) async throws {
        for operation in operations.values.sorted(by: { $0.metadata.id < $1.metadata.id }) {
            let verdict = verdict(operation, machine)
            if verdict == nil && operation.status.state == .pending {
                try await update(operation) { $0.state = .running }
            }
            guard let verdict else { continue }
            let timeline = machine.status.timeline
            try await update(operation) { status in
                status.state = verdict.state
                status.error = verdict.error
                status.stages = timeline.map { OperationStage(name: $0.stage, state: .done) }
            }
            operations[operation.metadata.id] = nil
        }
    }

    /// The machine is gone: its deletion succeeded, and what else was wanted of it is void.
    func settleDeleted() async throws {
        for operation in operations.values.sorted(by: { $0.metadata.id < $1.metadata.id }) {
            let kept = operation.status.state
            try await update(operation) { status in
                status.state = operation.spec.kind == .deleteMachine ? .succeeded : .cancelled
                if kept.isFinal { status.state = kept }
            }
        }
        operations = [:]
    }

    /// A machine that could not be started for the first time is taken away again: nothing is left behind.
    func failCreation(_ error: CoveyError) async throws {
        // The news of the creation itself may still be on its way.
        let known = try await host.repositories.operations.listUnfinished(node: host.node, target: "\(id)").items
        for operation in known where operations[operation.metadata.id] == nil { try await take(operation) }
        let creations = operations.values.filter { $0.spec.kind == .createMachine }
        guard !creations.isEmpty else { return }
        for operation in creations {
            try await update(operation) { status in
                status.state = .failed
                status.error = error
            }
            operations[operation.metadata.id] = nil
        }
        _ = try await host.repositories.machines.updateSpec(id) { $0.deleting = true }
    }

    private struct Verdict {
        var state: OperationState
        var error: CoveyError?
    }

    /// How an operation ended; nil while it goes on.
    private func verdict(_ operation: Operation, _ machine: VirtualMachine) -> Verdict? {
        let (spec, status) = (machine.spec, machine.status)
        let cancelled = operation.spec.cancelRequested
        switch operation.spec.kind {
        case .createMachine, .startMachine, .restartMachine:
            if spec.deleting { return nil }
            if spec.wanted == .stopped {
                guard status.phase == .stopped || status.phase == .failed else { return nil }
                if operation.spec.kind == .createMachine && !cancelled { return Verdict(state: .succeeded) }
                return Verdict(state: .cancelled)
            }
            let acted =
                status.observedStart >= spec.startRequest && status.observedRestart >= spec.restartRequest
            guard acted else { return nil }
            switch status.phase {
            case .running, .paused:
                if spec.ready == .booted || run?.ready == true { return Verdict(state: .succeeded) }
                if let refused = run?.refused { return Verdict(state: .failed, error: refused) }
                return overdue(status)
            case .stopped: return Verdict(state: .succeeded)
            case .failed: return Verdict(state: .failed, error: status.lastError)
            case .pending, .scheduled, .preparing, .starting, .stopping, .deleting, .unknown: return nil
            }
        case .stopMachine, .killMachine:
            if spec.wanted != .stopped { return Verdict(state: .cancelled) }
            return status.phase == .stopped || status.phase == .failed ? Verdict(state: .succeeded) : nil
        case .deleteMachine: return nil
        case .buildImage, .deleteImage, .importKernel, .deleteKernel, .createVolume, .resizeVolume, .deleteVolume:
            return Verdict(
                state: .failed, error: CoveyError(.internalError, "operation \(operation.spec.kind) names a vm"))
        }
    }

    private func overdue(_ status: MachineStatus) -> Verdict? {
        guard let resumed = run?.resumedAt else { return nil }
        guard host.clock.uptime() - resumed > host.settings.readyLimit else { return nil }
        if run?.serving == true {
            let why = run?.problem ?? "its init goes on starting"
            return Verdict(
                state: .failed,
                error: CoveyError(
                    .deadline, "the machine was not ready within \(host.settings.readyLimit.text): \(why)",
                    remedy: "it was left running; see covey logs --console, or choose another --ready"))
        }
        return Verdict(
            state: .failed,
            error: CoveyError(
                .deadline, "the guest agent did not answer within \(host.settings.readyLimit.text)",
                remedy: "covey logs --console shows how far the machine came; it was left running"))
    }

    private func update(
        _ operation: Operation, _ change: @Sendable (inout OperationStatus) throws -> Void
    ) async throws {
        do {
            let updated = try await host.repositories.operations.updateStatus(operation.metadata.id, change: change)
            if operations[updated.metadata.id] != nil { operations[updated.metadata.id] = updated }
        } catch let error as CoveyError where error.code == .conflict || error.code == .notFound {
            // It is final already, or was pruned.
            operations[operation.metadata.id] = nil
        }
    }
}
