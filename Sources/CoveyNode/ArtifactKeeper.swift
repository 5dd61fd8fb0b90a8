internal import CoveyImages
package import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Logging
internal import Synchronization

/// Makes images and kernels, one of each kind at a time, and removes them.
///
/// The record's state says what is to be done, so that an interrupted build is taken up by the next daemon. What another
/// node has made is that one's to look after; what is here of it goes with its record.
final class ArtifactKeeper: Sendable {
    private struct State {
        var operations: [String: Operation] = [:]
        var builds: [String: Task<Void, Never>] = [:]
    }

    private let host: MachineHost
    private let state = Mutex(State())
    /// Live progress of builds, by operation; streamed, never stored.
    let progress = ProgressBoard()

    init(_ host: MachineHost) { self.host = host }

    /// Works until the task is cancelled; `changed` is called whenever one has become ready or failed.
    func run(_ changed: @escaping @Sendable () -> Void) async throws {
        try await sweep()
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await self.watchImages(changed) }
            group.addTask { try await self.watchKernels(changed) }
        }
    }

    /// An operation on an image or a kernel: new, or taken back.
    func deliver(_ operation: Operation) async {
        let build = state.withLock { state in
            state.operations[operation.spec.targetID] = operation
            return operation.spec.cancelRequested ? state.builds[operation.spec.targetID] : nil
        }
        build?.cancel()
        if !isBuilding(operation.spec.targetID) { await settleLate(operation) }
    }

    /// Settles an operation whose work was done before this daemon, or its watch, had heard of it.
    private func settleLate(_ operation: Operation) async {
        let id = operation.spec.targetID
        do {
            switch try await artifact(operation) {
            case nil:
                await settle(id, [operation.spec.kind], operation.spec.kind.removes ? .succeeded : .cancelled, nil)
            case (.ready, _)?:
                if !operation.spec.kind.removes { await settle(id, [operation.spec.kind], .succeeded, nil) }
            case (.failed, let error)?:
                if !operation.spec.kind.removes { await settle(id, [operation.spec.kind], .failed, error) }
            // Whoever follows the record does the work, and settles.
            case (.pending, _)?, (.building, _)?, (.deleting, _)?: break
            }
        } catch {
            host.logger.debug("operation not settled", metadata: ["error": "\(error)"])
        }
    }

    /// What an operation's target has come to; nil where it is gone.
    private func artifact(_ operation: Operation) async throws -> (state: ArtifactState, error: CoveyError?)? {
        do {
            switch operation.spec.kind {
            case .buildImage, .deleteImage:
                guard let id = ImageID(operation.spec.targetID) else { return nil }
                let status = try await host.repositories.images.get(id).status
                return (status.state, status.lastError)
            case .importKernel, .deleteKernel:
                guard let id = KernelID(operation.spec.targetID) else { return nil }
                let status = try await host.repositories.kernels.get(id).status
                return (status.state, status.lastError)
            case .createMachine, .startMachine, .stopMachine, .killMachine, .restartMachine, .deleteMachine,
                .createVolume, .resizeVolume, .deleteVolume:
                return (.pending, nil)
            }
        } catch let error as CoveyError where error.code == .notFound {
            return nil
        }
    }

    /// Whether one is being made or removed, by its id.
    func isBuilding(_ id: String) -> Bool { state.withLock { $0.builds[id] != nil } }

    private func watchImages(_ changed: @escaping @Sendable () -> Void) async throws {
        try await host.follow(host.repositories.images.watch()) { change in
            switch change {
            case .listed(let listing): for image in listing.items { try await consider(image, changed) }
            case .updated(let image): try await consider(image, changed)
            case .removed(let id):
                await drop("\(id)") { try await self.host.images.remove(id) }
                changed()
            case .setAside(_, let record):
                host.logger.error("record set aside", metadata: ["key": "\(record.key)"])
            }
        }
    }

    private func watchKernels(_ changed: @escaping @Sendable () -> Void) async throws {
        try await host.follow(host.repositories.kernels.watch()) { change in
            switch change {
            case .listed(let listing): for kernel in listing.items { try await consider(kernel, changed) }
            case .updated(let kernel): try await consider(kernel, changed)
            case .removed(let id):
                await drop("\(id)") { try await self.host.kernels.remove(id) }
                changed()
            case .setAside(_, let record):
                host.logger.error("record set aside", metadata: ["key": "\(record.key)"])
            }
        }
    }

    /// Removes what is here of a record that is gone; what cannot be removed is left to the next sweep.
    private func drop(_ id: String, _ remove: () async throws -> Void) async {
        do { try await remove() } catch {
            host.logger.error("artifact not removed", metadata: ["id": "\(id)", "error": "\(error)"])
        }
    }

    private func consider(_ image: Image, _ changed: @escaping @Sendable () -> Void) async throws {
        let id = image.metadata.id
        guard try await host.isMine(image) else { return changed() }
        await consider(
            image.status.state, id: "\(id)", changed,
            build: { [host] progress in
                try await host.repositories.images.updateStatus(id) { $0.state = .building }
                let stored = try await host.makeImage(image, progress)
                try await host.repositories.images.updateStatus(id) { status in
                    status.state = .ready
                    status.digest = stored.digest
                    status.size = stored.size
                    status.allocated = stored.allocated
                    status.configuration = stored.configuration
                    status.origin = stored.origin
                    status.lastError = nil
                }
                try await host.images.release(image.spec.source)
                try await host.removeUploads(of: image)
            },
            fail: { [host] error in
                try await host.repositories.images.updateStatus(id) { status in
                    status.state = .failed
                    status.lastError = error
                }
            },
            remove: { [host] in
                try await host.images.release(image.spec.source)
                try await host.removeUploads(of: image)
                try await host.images.remove(id)
                try await host.repositories.images.remove(id)
            },
            refusal: { [host] in
                // Nothing new can need it since it was marked.
                let uses = try await host.repositories.imageUses()
                do throws(CoveyError) {
                    try uses.check(id, name: image.metadata.name)
                    return nil
                } catch { return error }
            },
            keep: { [host] in try await host.repositories.images.keep(id) })
    }

    private func consider(_ kernel: Kernel, _ changed: @escaping @Sendable () -> Void) async throws {
        let id = kernel.metadata.id
        guard try await host.isMine(kernel) else { return changed() }
        await consider(
            kernel.status.state, id: "\(id)", changed,
            build: { [host] progress in
                try await host.repositories.kernels.updateStatus(id) { $0.state = .building }
                let source = try await host.kernelSource(kernel, progress)
                let stored = try await host.kernels.importKernel(id, from: source, progress: progress)
                // One that was given no name of its own is called by its release.
                if kernel.metadata.name == kernel.spec.source {
                    try await host.repositories.kernels.rename(id, to: stored.release)
                }
                try await host.repositories.kernels.updateStatus(id) { status in
                    status.state = .ready
                    status.release = stored.release
                    status.digest = stored.digest
                    status.payload = stored.payload
                    status.modules = stored.modules
                    status.drivers = stored.drivers
                    status.boots = stored.boots
                    status.allocated = stored.allocated
                    status.lastError = nil
                }
                try await host.removeUploads(of: kernel)
            },
            fail: { [host] error in
                try await host.repositories.kernels.updateStatus(id) { status in
                    status.state = .failed
                    status.lastError = error
                }
            },
            remove: { [host] in
                try await host.removeUploads(of: kernel)
                try await host.kernels.remove(id)
                try await host.repositories.kernels.remove(id)
            })
    }

    /// Does what a record's state asks for, once.
    private func consider(
        _ artifact: ArtifactState, id: String, _ changed: @escaping @Sendable () -> Void,
        build: @escaping @Sendable (@escaping ProgressHandler) async throws -> Void,
        fail: @escaping @Sendable (CoveyError) async throws -> Void,
        remove: @escaping @Sendable () async throws -> Void,
        refusal: @escaping @Sendable () async throws -> CoveyError? = { nil },
        keep: @escaping @Sendable () async throws -> Void = {}
    ) async {
        switch artifact {
        case .ready, .failed: changed()
        case .pending, .building, .deleting:
            let deleting = artifact == .deleting
            let begin = state.withLock { state in
                if deleting { state.builds[id]?.cancel() }
                guard state.builds[id] == nil || deleting else { return false }
                let before = state.builds[id]
                state.builds[id] = Task {
                    await before?.value
                    if deleting {
                        await self.removal(id, remove, refusal, keep)
                    } else {
                        await self.making(id, build, fail, remove)
                    }
                    self.state.withLock { _ = $0.builds.removeValue(forKey: id) }
                    changed()
                }
                return true
            }
            if begin { host.logger.info("artifact", metadata: ["id": "\(id)", "state": "\(artifact.rawValue)"]) }
        }
    }

    private func making(
        _ id: String, _ build: @Sendable (@escaping ProgressHandler) async throws -> Void,
        _ fail: @Sendable (CoveyError) async throws -> Void, _ remove: @Sendable () async throws -> Void
    ) async {
        let progress = progress
        do {
            try await build { stage, done, total, unit in
                progress.report(id, OperationStage(name: stage, state: .running, done: done, total: total, unit: unit))
            }
            await settle(id, OperationKind.making, .succeeded, nil)
        } catch {
            let cancelled = state.withLock { $0.operations[id]?.spec.cancelRequested } == true
            let problem = CoveyError.wrapping(error)
            host.logger.error("artifact failed", metadata: ["id": "\(id)", "error": "\(problem)"])
            do {
                // One that was never whole is taken away again; the operation keeps what went wrong.
                try await fail(problem)
                try await remove()
            } catch {
                host.logger.error("artifact not removed", metadata: ["id": "\(id)", "error": "\(error)"])
            }
            await settle(id, OperationKind.making, cancelled ? .cancelled : .failed, cancelled ? nil : problem)
        }
        progress.clear(id)
    }

    /// - Parameters:
    ///   - refusal: Why it has to stay; nil where it may go.
    ///   - keep: Takes back that it is to go.
    private func removal(
        _ id: String, _ remove: @Sendable () async throws -> Void, _ refusal: @Sendable () async throws -> CoveyError?,
        _ keep: @Sendable () async throws -> Void
    ) async {
        do {
            if let refusal = try await refusal() {
                // First: after a death in between, what is still marked is looked at again.
                await settle(id, OperationKind.removing, .failed, refusal)
                return try await keep()
            }
            try await remove()
            await settle(id, OperationKind.removing, .succeeded, nil)
        } catch {
            await settle(id, OperationKind.removing, .failed, CoveyError.wrapping(error))
        }
    }

    /// Ends what was asked for on a target. The store is asked where the watch has not brought it yet: the record of
    /// the work and that of the wish come by two watches.
    private func settle(
        _ id: String, _ kinds: Set<OperationKind>, _ final: OperationState, _ error: CoveyError?
    ) async {
        let delivered = state.withLock { state -> Operation? in
            guard let operation = state.operations[id], kinds.contains(operation.spec.kind) else { return nil }
            return state.operations.removeValue(forKey: id)
        }
        do {
            var operations = delivered.map { [$0] } ?? []
            if operations.isEmpty {
                operations = try await host.repositories.operations.list().items.filter {
                    $0.spec.targetID == id && kinds.contains($0.spec.kind) && !$0.status.state.isFinal
                }
            }
            for operation in operations {
                try await host.repositories.operations.updateStatus(operation.metadata.id) { status in
                    status.state = final
                    status.error = error
                }
            }
        } catch {
            host.logger.debug("operation not settled", metadata: ["error": "\(error)"])
        }
    }

    /// Removes half-made files, and finished ones whose record is gone.
    private func sweep() async throws {
        let images = try await host.repositories.images.list()
        if images.setAside.isEmpty {
            _ = try await host.images.sweep(keeping: Set(images.items.map(\.metadata.id)))
        }
        let kernels = try await host.repositories.kernels.list()
        if kernels.setAside.isEmpty {
            _ = try await host.kernels.sweep(keeping: Set(kernels.items.map(\.metadata.id)))
        }
    }
}

extension OperationKind {
    fileprivate static let making: Set<OperationKind> = [.buildImage, .importKernel]
    fileprivate static let removing: Set<OperationKind> = [.deleteImage, .deleteKernel]
    fileprivate var removes: Bool { OperationKind.removing.contains(self) }
}

/// How far builds are, for those who watch.
package final class ProgressBoard: Sendable {
    private let stages = Mutex<[String: [OperationStage]]>([:])
    private let signal = Signal()

    func report(_ target: String, _ stage: OperationStage) {
        var stage = stage
        if let total = stage.total, stage.done == total { stage.state = .done }
        let reported = stage
        stages.withLock { stages in
            var list = stages[target] ?? []
            if let index = list.firstIndex(where: { $0.name == reported.name }) {
                list[index] = reported
            } else {
                // Stages with a known end may go on beside each other: layers do.
                for index in list.indices where list[index].total == nil { list[index].state = .done }
                list.append(reported)
            }
            stages[target] = list
        }
        signal.notify()
    }

    func clear(_ target: String) {
        stages.withLock { _ = $0.removeValue(forKey: target) }
        signal.notify()
    }

    /// The stages of the work on a target, by the target's id.
    package func stages(of target: String) -> [OperationStage] { stages.withLock { $0[target] ?? [] } }

    /// Yields after each change, from now on.
    package func changes() -> AsyncStream<Void> { signal.subscribe() }
}
