internal import CoveyImages
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Logging
internal import Synchronization

/// Makes, copies, enlarges and removes volumes; different ones at once, each one step at a time.
///
/// The record says what is to be done, so that what was interrupted is taken up by the next daemon. A volume that was
/// whole once is removed only when its record says so.
final class VolumeKeeper: Sendable {
    private struct State {
        /// Volumes that are looked at now, and whether once more after that.
        var busy: [VolumeID: Bool] = [:]
        var making: [VolumeID: Task<StoredVolume, any Error>] = [:]
    }

    private let host: MachineHost
    private let progress: ProgressBoard
    private let state = Mutex(State())
    private let (letters, post) = AsyncStream<VolumeID>.makeStream()

    /// A keeper; how far its copies are goes on a board.
    init(_ host: MachineHost, progress: ProgressBoard) {
        self.host = host
        self.progress = progress
    }

    /// Works until the task is cancelled; `changed` is called whenever one can be used that could not before.
    func run(_ changed: @escaping @Sendable () -> Void) async throws {
        for name in try await host.volumes.sweep() {
            host.logger.info("half-made volume removed", metadata: ["name": "\(name)"])
        }
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await self.watch() }
            for await id in letters where begin(id) {
                group.addTask {
                    repeat {
                        try await self.look(id, changed)
                    } while !Task.isCancelled && self.again(id)
                }
            }
        }
    }

    /// An operation on a volume: new, or taken back.
    func deliver(_ operation: Operation) {
        guard let id = VolumeID(operation.spec.targetID) else { return }
        if operation.spec.cancelRequested && operation.spec.kind == .createVolume {
            state.withLock { $0.making[id] }?.cancel()
        }
        post.yield(id)
    }

    /// Whether a volume is being worked on, by its id.
    func isBusy(_ id: String) -> Bool { VolumeID(id).map { id in state.withLock { $0.busy[id] != nil } } ?? false }

    private func watch() async throws {
        try await host.follow(host.repositories.volumes.watch()) { change in
            switch change {
            case .listed(let listing): for volume in listing.items { post.yield(volume.metadata.id) }
            case .updated(let volume): post.yield(volume.metadata.id)
            case .removed(let id): post.yield(id)
            case .setAside(_, let record):
                host.logger.error("record set aside", metadata: ["key": "\(record.key)"])
            }
        }
    }

    private func begin(_ id: VolumeID) -> Bool {
        state.withLock { state in
            let isNew = state.busy[id] == nil
            state.busy[id] = !isNew
            return isNew
        }
    }

    private func again(_ id: VolumeID) -> Bool {
        state.withLock { state in
            let again = state.busy[id] == true
            state.busy[id] = again ? false : nil
            return again
        }
    }

    private func look(_ id: VolumeID, _ changed: @Sendable () -> Void) async throws(FaultInjected) {
        do {
            try await host.overOutages { try await act(id, changed) }
        } catch is CancellationError {
            // The daemon ends; the record says what is left to do.
        } catch let fault as FaultInjected {
            // The agent dies here: nothing more is looked at.
            post.finish()
            throw fault
        } catch {
            host.logger.error("volume not looked after", metadata: ["id": "\(id)", "error": "\(error)"])
        }
    }

    /// Does what the record asks for.
    private func act(_ id: VolumeID, _ changed: @Sendable () -> Void) async throws {
        let volume: Volume
        do {
            volume = try await host.repositories.volumes.get(id)
        } catch let error as CoveyError where error.code == .notFound {
            return try await settle(id, upTo: .max) { $0 == .deleteVolume ? (.succeeded, nil) : (.cancelled, nil) }
        }
        guard volume.status.node == host.node else { return }
        if volume.spec.deleting { return try await remove(volume) }
        switch volume.status.state {
        case .pending, .building:
            try await make(volume)
            changed()
        case .ready:
            if let size = volume.status.size, size < volume.spec.size {
                try await grow(volume)
            } else {
                try await settle(id, upTo: volume.metadata.generation) { $0 == .deleteVolume ? nil : (.succeeded, nil) }
            }
        case .failed, .deleting: break
        }
    }

    private func make(_ volume: Volume) async throws {
        let id = volume.metadata.id
        let taken = try await operations(on: id, upTo: .max)
            .contains { $0.spec.kind == .createVolume && $0.spec.cancelRequested }
        do {
            if taken { throw CoveyError(.cancelled, "it was taken back") }
            try await host.repositories.volumes.updateStatus(id) { $0.state = .building }
            let stored = try await stored(volume)
            try host.faults.reach("volume.made")
            try await host.repositories.volumes.updateStatus(id) { status in
                status.state = .ready
                status.size = stored.size
                status.allocated = stored.allocated
                status.lastError = nil
            }
            progress.clear("\(id)")
            try await settle(id, upTo: volume.metadata.generation) { $0 == .deleteVolume ? nil : (.succeeded, nil) }
        } catch let fault as FaultInjected {
            throw fault
        } catch {
            try Task.checkCancellation()
            progress.clear("\(id)")
            try await abandon(volume, CoveyError.wrapping(error))
        }
    }

    /// Makes or copies the files; a wish to take it back ends that.
    private func stored(_ volume: Volume) async throws -> StoredVolume {
        let id = volume.metadata.id
        let task = Task { [host, progress] in
            guard let source = volume.spec.source else {
                return try await host.volumes.create(
                    id, size: volume.spec.size, format: volume.spec.format, label: volume.metadata.name)
            }
            host.volumeGate.enter(source)
            defer { host.volumeGate.leave(source) }
            try await self.checkUnused(source)
            return try await host.volumes.copy(source, to: id) { stage, done, total, unit in
                progress.report(
                    "\(id)", OperationStage(name: stage, state: .running, done: done, total: total, unit: unit))
            }
        }
        state.withLock { $0.making[id] = task }
        defer { state.withLock { _ = $0.making.removeValue(forKey: id) } }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }

    /// Whether no machine writes to a volume. Errors: ``ErrorCode/conflict``.
    private func checkUnused(_ id: VolumeID) async throws {
        let volume = try await host.repositories.volumes.get(id)
        for user in volume.spec.attachments where !user.readOnly {
            do {
                let machine = try await host.repositories.machines.get(user.machine)
                guard !machine.status.phase.holdsNothing else { continue }
                throw CoveyError(
                    .conflict,
                    "volume \(volume.metadata.name) is in use by vm \(user.name), which is "
                        + machine.status.phase.rawValue,
                    remedy: "stop it first: covey vm stop \(user.name)",
                    resource: ResourceReference("volume", volume.metadata.name))
            } catch let error as CoveyError where error.code == .notFound {
                continue
            }
        }
    }

    /// One that was never whole is taken away again; the operation keeps what went wrong.
    private func abandon(_ volume: Volume, _ error: CoveyError) async throws {
        let id = volume.metadata.id
        host.logger.error("volume not made", metadata: ["id": "\(id)", "error": "\(error)"])
        try await settle(id, upTo: volume.metadata.generation) { kind in
            kind == .createVolume && error.code != .cancelled ? (.failed, error) : (.cancelled, nil)
        }
        try await host.volumes.remove(id)
        try await host.repositories.volumes.remove(id)
    }

    private func grow(_ volume: Volume) async throws {
        let id = volume.metadata.id
        do {
            let stored = try await host.volumes.grow(id, to: volume.spec.size)
            try host.faults.reach("volume.grown")
            try await host.repositories.volumes.updateStatus(id) { status in
                status.size = stored.size
                status.allocated = stored.allocated
            }
            try await settle(id, upTo: volume.metadata.generation) { $0 == .deleteVolume ? nil : (.succeeded, nil) }
        } catch let fault as FaultInjected {
            throw fault
        } catch {
            try Task.checkCancellation()
            let problem = CoveyError.wrapping(error)
            try await host.repositories.volumes.settleSize(id)
            try await settle(id, upTo: volume.metadata.generation) { $0 == .resizeVolume ? (.failed, problem) : nil }
        }
    }

    private func remove(_ volume: Volume) async throws {
        let id = volume.metadata.id
        try await host.volumes.remove(id)
        try host.faults.reach("volume.removed")
        try await host.repositories.volumes.remove(id)
        try await settle(id, upTo: volume.metadata.generation) {
            $0 == .deleteVolume ? (.succeeded, nil) : (.cancelled, nil)
        }
    }

    /// The operations on a volume that go on, up to a generation of what is wanted of it.
    private func operations(on id: VolumeID, upTo generation: Int64) async throws -> [Operation] {
        try await host.repositories.operations.listUnfinished(node: host.node, target: "\(id)").items
            .filter { $0.spec.generation <= generation }
    }

    /// Ends the operations on a volume, up to a generation of what is wanted of it, that have a verdict.
    private func settle(
        _ id: VolumeID, upTo generation: Int64, _ verdict: (OperationKind) -> (OperationState, CoveyError?)?
    ) async throws {
        for operation in try await operations(on: id, upTo: generation) {
            guard let (final, error) = verdict(operation.spec.kind) else { continue }
            do {
                try await host.repositories.operations.updateStatus(operation.metadata.id) { status in
                    status.state = final
                    status.error = error
                }
            } catch let error as CoveyError where error.code == .conflict || error.code == .notFound {
                // It is final already, or was pruned.
            }
        }
    }
}
