import CoveyGuestProtocol
import CoveyModel
import CoveyNode
import CoveyStore
import CoveySystem
import CoveyTesting
import Foundation
import Logging
import Synchronization

/// A simulated host with a store and a node agent that can be killed and started again.
final class Rig: Sendable {
    let host = SimulatedHost()
    let networks = SimulatedNetworks()
    let store: MemoryStore
    let repositories: Repositories
    let folder: String
    let node: NodeID
    let image: Image
    let kernel: Kernel
    let network: Network
    private let uptime: Mutex<Duration>
    private let agent = Mutex<(agent: NodeAgent, task: Task<Void, any Error>)?>(nil)

    static let ids = IdentifierSource(time: { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) })
    static let now: @Sendable () -> Timestamp = {
        Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }

    init() async throws {
        store = MemoryStore()
        repositories = try await Repositories.open(store, ids: Rig.ids, now: Rig.now)
        folder = "/tmp/covey-node-\(UInt64.random(in: .min ... .max))"
        try makeFolder(folder)
        node = Rig.ids.next(Node.self)
        uptime = Mutex(.zero)
        (image, _) = try await repositories.images.create(
            .standard, name: "busybox", spec: ImageSpec(source: .builtIn), node: node, requestID: "image")
        (kernel, _) = try await repositories.kernels.create(
            .standard, name: "6.1", spec: KernelSpec(source: "debian", isDefault: true), node: node,
            requestID: "kernel")
        network = try await repositories.networks.create(
            .standard, NetworkRequest(name: "net", block: AddressBlock("10.1.0.0/16")), requestID: "network")
    }

    /// Runs a test with a rig and takes everything away after it.
    static func with(_ body: @Sendable (Rig) async throws -> Void) async throws {
        let rig = try await Rig()
        do {
            try await body(rig)
            await rig.kill()
            try removeTree(rig.folder)
        } catch {
            await rig.kill()
            try removeTree(rig.folder)
            throw error
        }
    }

    var layout: NodeLayout { NodeLayout(machines: "\(folder)/vms", run: "\(folder)/run") }

    var current: NodeAgent? { agent.withLock { $0?.agent } }

    /// Starts an agent. `faults` lets it die at a point.
    @discardableResult
    func start(
        faults: FaultPoints = FaultPoints(), settings: NodeSettings = NodeSettings()
    ) throws -> NodeAgent {
        let artifacts = SimulatedArtifacts(host)
        let clock = NodeClock(
            now: Rig.now, uptime: { ContinuousClock.now - ContinuousClock().minimumEpoch },
            sleep: { try await Task.sleep(for: $0) })
        guard let instance = InstanceID("0badcafe") else { throw CancellationError() }
        var settings = settings
        settings.backoff = Backoff(first: .milliseconds(5), ceiling: .milliseconds(40))
        let made = NodeAgent(
            MachineHost(
                node: node, instance: instance, layout: layout, repositories: repositories,
                drivers: [SimulatedDriver(host)], supervisor: host, images: artifacts, kernels: artifacts,
                disks: artifacts, volumes: SimulatedVolumes(host, folder: "\(folder)/volumes"),
                guests: SimulatedConnector(host), clock: clock, network: networks, names: networks, faults: faults,
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }), settings: settings,
                makeHostKey: { SSHKeyPair(seed: Array(0..<32), publicKey: Array(32..<64), check: 1, comment: "") }))
        let task = Task { try await made.run() }
        agent.withLock { $0 = (made, task) }
        return made
    }

    /// Ends the agent, as SIGKILL would as far as the host is concerned: no undo, no further step.
    func kill() async {
        let task = agent.withLock { agent in
            defer { agent = nil }
            return agent?.task
        }
        task?.cancel()
        _ = await task?.result
    }

    /// Makes a machine. The program is a word of ``SimulatedGuest``.
    func create(
        _ name: String, program: [String]? = ["sleep"], _ change: (inout MachineSpec) -> Void = { _ in }
    ) async throws -> (machine: VirtualMachine, operation: CoveyModel.Operation) {
        var spec = MachineSpec(image: "busybox", program: program.map { Program(arguments: $0) })
        spec.imageID = image.metadata.id
        spec.kernelID = kernel.metadata.id
        spec.networks = [NetworkAttachment(network: "net", networkID: network.metadata.id)]
        change(&spec)
        return try await repositories.machines.create(
            .standard, name: name, spec: spec, node: node, requestID: "create-\(name)")
    }

    /// Wants something of a machine.
    @discardableResult
    func want(
        _ id: MachineID, _ kind: OperationKind, _ change: @escaping @Sendable (inout MachineSpec) -> Void
    ) async throws -> CoveyModel.Operation? {
        try await repositories.machines.updateSpec(id, requestID: "\(kind)-\(UUID())", kind: kind) { change(&$0) }
            .operation
    }

    /// Waits until a machine is as it should be; nil means that it is gone.
    @discardableResult
    func wait(
        _ id: MachineID, _ what: String, _ condition: @escaping @Sendable (VirtualMachine?) -> Bool
    ) async throws -> VirtualMachine? {
        try await withDeadline(.seconds(120), "\(what)") { [repositories] in
            for try await _ in repositories.machines.watch() {
                var machine: VirtualMachine?
                do {
                    machine = try await repositories.machines.get(id)
                } catch let error as CoveyError where error.code == .notFound {}
                if condition(machine) { return machine }
            }
            throw CancellationError()
        }
    }

    func wait(_ operation: CoveyModel.Operation) async throws -> CoveyModel.Operation {
        try await withDeadline(.seconds(120), "operation \(operation.spec.kind)") { [repositories] in
            for try await _ in repositories.operations.watch() {
                let found = try await repositories.operations.get(operation.metadata.id)
                if found.status.state.isFinal { return found }
            }
            throw CancellationError()
        }
    }

    /// Makes a store that has never heard of a machine, as after a restore.
    func forgetRecords(of id: MachineID) async throws {
        for entry in try await store.range("", from: nil, limit: nil, at: nil).entries
        where "\(entry.key)".contains("\(id)") || String(decoding: entry.value, as: UTF8.self).contains("\(id)") {
            _ = try await store.transact(Transaction(success: [.delete(entry.key)]))
        }
    }

    /// What a machine that is gone left on the host, besides its operations.
    func leftovers() async throws -> [String] {
        var found = host.processes.keys.map { "process \($0)" }
        found += networks.state.withLock { $0.taps.values.map { "tap \($0)" } }
        for part in ["vms", "run/vm", "run/memory"] {
            let path = "\(folder)/\(part)"
            if fileExists(path) { found += try listFolder(path).map { "\(part)/\($0)" } }
        }
        found += try await repositories.runs.list(node).items.map { "run \($0)" }
        return found
    }
}

extension ContinuousClock {
    /// Where the measuring clock of the tests begins.
    fileprivate var minimumEpoch: Instant { Rig.epoch }
}

extension Rig {
    fileprivate static let epoch = ContinuousClock.now
}
