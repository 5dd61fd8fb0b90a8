internal import CoveyModel
package import CoveyStore
internal import CoveySystem
internal import CoveyVMM
internal import Logging
internal import Synchronization

/// A node: one worker a machine, one keeper for images and kernels, and a look at everything now and then.
///
/// ``run()`` is its whole life. Ending it leaves the machines running.
package final class NodeAgent: Sendable {
    package let host: MachineHost
    package let channels: ExecChannels
    package let consoles = ConsoleSeats()
    /// Who opens an ssh server in a machine.
    let shellTurns = Turns<MachineID>()
    let keeper: ArtifactKeeper
    let volumes: VolumeKeeper
    let networks: NetworkKeeper
    private let workers = Mutex<[MachineID: MachineWorker]>([:])
    private let early = EarlyOperations()
    private let unreadable = Mutex<[SetAside]>([])

    /// An agent that has not begun.
    package init(_ host: MachineHost) {
        self.host = host
        channels = ExecChannels(layout: host.layout, pool: host.pool, clock: host.clock)
        keeper = ArtifactKeeper(host)
        volumes = VolumeKeeper(host, progress: keeper.progress)
        networks = NetworkKeeper(host)
    }

    /// Works until the task is cancelled. Errors: the store cannot be read at all.
    package func run() async throws {
        try await host.pool.run { [layout = host.layout] in
            for (path, mode) in layout.folders { try makeFolder(path, mode: mode) }
            for name in try listFolder(layout.machines) where name.hasPrefix(NodeLayout.leftPrefix) {
                try removeTree("\(layout.machines)/\(name)")
            }
        }
        try await forgetFinishedRuns()
        for operation in try await host.repositories.operations.list().items where isForMachine(operation) {
            early.keep(operation)
        }
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await self.keeper.run { self.lookAtAll() } }
            group.addTask { await self.host.copies.run(self.host.logger) { self.lookAtAll() } }
            group.addTask { try await self.volumes.run { self.lookAtAll() } }
            group.addTask { try await self.networks.run() }
            group.addTask { try await self.watchOperations() }
            group.addTask { try await self.resync() }
            try await host.follow(host.repositories.machines.watch(node: host.node)) { change in
                switch change {
                case .listed(let listing):
                    unreadable.withLock { $0 = listing.setAside }
                    try await saySetAside()
                    await networks.listed(listing.items)
                    for machine in listing.items { wake(machine.metadata.id, &group) }
                case .updated(let machine):
                    await networks.changed(machine)
                    wake(machine.metadata.id, &group)
                case .removed(let id):
                    await networks.removed(id)
                    worker(id)?.mailbox.post(.look)
                case .setAside(_, let record):
                    host.logger.error("record set aside", metadata: ["key": "\(record.key)"])
                    unreadable.withLock { if !$0.contains(record) { $0.append(record) } }
                    try await saySetAside()
                }
            }
        }
    }

    /// Says in the node's conditions what cannot be read.
    private func saySetAside() async throws {
        let records = setAside
        do {
            try await host.repositories.nodes.updateStatus(host.node) { [now = host.clock.now()] status in
                guard let first = records.first else { return status.conditions.clear("RecordsReadable") }
                status.conditions.set(
                    Condition(
                        type: "RecordsReadable", state: .no, reason: "SetAside",
                        message: "\(records.count) cannot be read and \(records.count == 1 ? "is" : "are") left as "
                            + "they are, such as \(first.key): \(first.reason)", since: now))
            }
        } catch let error as CoveyError where error.code == .notFound {
            // The node has not registered itself yet.
        }
    }

    /// Live progress of builds.
    package var progress: ProgressBoard { keeper.progress }

    /// Whether an image, kernel or volume is being made, by its id.
    package func isBuilding(_ target: String) -> Bool { keeper.isBuilding(target) || volumes.isBusy(target) }

    /// Records of machines that cannot be read.
    package var setAside: [SetAside] { unreadable.withLock { $0 } }

    func worker(_ id: MachineID) -> MachineWorker? { workers.withLock { $0[id] } }

    private func wake(_ id: MachineID, _ group: inout ThrowingDiscardingTaskGroup<any Error>) {
        let (worker, isNew) = workers.withLock { workers in
            if let worker = workers[id] { return (worker, false) }
            let worker = MachineWorker(id, host: host, networks: networks, channels: channels, early: early)
            workers[id] = worker
            return (worker, true)
        }
        guard isNew else {
            worker.mailbox.post(.look)
            return
        }
        group.addTask {
            await worker.work()
            self.workers.withLock { workers in
                if workers[id] === worker { workers[id] = nil }
            }
            // What came too late for the worker is settled without it.
            for case .operation(let operation) in worker.mailbox.close() where !Task.isCancelled {
                try await self.deliver(operation)
            }
        }
    }

    /// Lets every worker look at its machine again.
    package func lookAtAll() {
        for worker in workers.withLock({ Array($0.values) }) { worker.mailbox.post(.look) }
    }

    /// Carries operations to the workers of their machines.
    private func watchOperations() async throws {
        try await host.follow(host.repositories.operations.watch()) { change in
            switch change {
            case .listed(let listing): for operation in listing.items { try await deliver(operation) }
            case .updated(let operation): try await deliver(operation)
            case .removed, .setAside: break
            }
        }
    }

    private func deliver(_ operation: Operation) async throws {
        guard concerns(operation) else { return }
        switch operation.spec.kind {
        case .createMachine, .startMachine, .stopMachine, .killMachine, .restartMachine, .deleteMachine:
            guard let id = MachineID(operation.spec.targetID) else { return }
            if worker(id)?.mailbox.post(.operation(operation)) == true { return }
            early.keep(operation)
            try await settleWithoutMachine(operation, id)
            // A worker that has begun meanwhile may have asked before.
            guard let worker = worker(id) else { return }
            for operation in early.take(id) where !worker.mailbox.post(.operation(operation)) { early.keep(operation) }
        case .createVolume, .resizeVolume, .deleteVolume: volumes.deliver(operation)
        case .buildImage, .deleteImage, .importKernel, .deleteKernel:
            await keeper.deliver(operation)
        }
    }

    /// Whether an operation is still to be carried out here.
    private func concerns(_ operation: Operation) -> Bool {
        !operation.status.state.isFinal && (operation.spec.node == nil || operation.spec.node == host.node)
    }

    private func isForMachine(_ operation: Operation) -> Bool {
        switch operation.spec.kind {
        case .createMachine, .startMachine, .stopMachine, .killMachine, .restartMachine, .deleteMachine:
            concerns(operation)
        case .buildImage, .deleteImage, .importKernel, .deleteKernel, .createVolume, .resizeVolume, .deleteVolume: false
        }
    }

    /// An operation whose machine has no worker: a worker that begins looks for it, or the machine is gone for good.
    private func settleWithoutMachine(_ operation: Operation, _ id: MachineID) async throws {
        do {
            _ = try await host.repositories.machines.get(id)
        } catch let error as CoveyError where error.code == .notFound {
            _ = early.take(id)
            do {
                try await host.repositories.operations.updateStatus(operation.metadata.id) { status in
                    status.state = operation.spec.kind == .deleteMachine ? .succeeded : .cancelled
                }
            } catch let error as CoveyError where error.code == .conflict || error.code == .notFound {
                return
            }
        }
    }

    /// Looks at everything again now and then, though nothing has said so.
    private func resync() async throws {
        while true {
            try await host.clock.sleep(host.settings.resyncInterval)
            lookAtAll()
            try await host.overOutages { try await host.repositories.operations.prune() }
            try await host.overOutages { try await host.repositories.events.prune() }
            try await host.overOutages { try await host.repositories.networks.sweep() }
        }
    }

    /// Removes what tombstones name as finished, of runs whose clean-up was interrupted.
    private func forgetFinishedRuns() async throws {
        let runs = try await host.repositories.runs.list(host.node)
        for run in runs.items where run.state == .finished {
            let name = "vm-\(run.machine)-\(run.generation)"
            try await host.supervisor.kill(name)
            try await host.supervisor.forget(name)
            let layout = host.layout
            try await host.pool.run {
                try removeTree(layout.runFolder(run.machine, run.generation))
                try removeFile(layout.memoryFile(run.machine, run.generation))
            }
            try await host.repositories.runs.forget(host.node, run.machine, generation: run.generation)
        }
    }
}
