internal import CoveyModel
internal import CoveyNode
internal import CoveySQLiteStore
internal import CoveyStore
internal import CoveySystem
internal import CoveyTesting
internal import Foundation
internal import GRDB
internal import Logging

/// Creations with a simulated host over a durable SQLite store, against as many bare SQLite commits.
///
/// Each pair is: the commits (A), the creations stored (B), and those machines up to `running` (C, whose clock starts
/// with B's). Creations come from 16 callers at once, commits from one: a commit is one fdatasync either way.
struct CreateRate {
    private static let callers = 16

    let folder: String
    let creations: Int
    let pairs: Int

    /// Seconds of each round: `commits`, `stored`, `running`.
    func run() async throws -> [String: [Double]] {
        var result: [String: [Double]] = ["commits": [], "stored": [], "running": []]
        for pair in 0..<pairs {
            let here = "\(folder)/pair-\(pair)"
            try makeFolder(here)
            result["commits"]?.append(try await commits("\(here)/bare.sqlite"))
            let (stored, running) = try await machines(here)
            result["stored"]?.append(stored)
            result["running"]?.append(running)
            try removeTree(here)
        }
        return result
    }

    private func commits(_ path: String) async throws -> Double {
        let pool = try DatabasePool(path: path)
        defer { try? pool.close() }
        // The size of a machine's record.
        let value = Data(repeating: 0x78, count: 1200)
        try await pool.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA synchronous = FULL")
            try db.execute(sql: "CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT")
        }
        let creations = creations
        return try await pool.writeWithoutTransaction { db in
            let clock = ContinuousClock()
            let taken = try clock.measure {
                for number in 0..<creations {
                    try db.inTransaction(.immediate) {
                        try db.execute(
                            sql: "INSERT INTO entry (key, value) VALUES (?, ?)", arguments: ["vm/\(number)", value])
                        return .commit
                    }
                }
            }
            return Double(taken.components.seconds) + Double(taken.components.attoseconds) * 1e-18
        }
    }

    private func machines(_ here: String) async throws -> (stored: Double, running: Double) {
        let store = try await SQLiteStore.open("\(here)/store.sqlite")
        let now: @Sendable () -> Timestamp = { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }
        let ids = IdentifierSource(time: now)
        let repositories = try await Repositories.open(store, ids: ids, now: now)
        let node = ids.next(Node.self)
        let (image, kernel) = try await artifacts(repositories, node)
        let agent = try agent(here, repositories, node, now)
        let life = Task { try await agent.run() }
        var spec = MachineSpec(image: "busybox", program: Program(arguments: ["sleep"]))
        spec.imageID = image
        spec.kernelID = kernel
        let watch = repositories.machines.watch()
        let wanted = creations
        let clock = ContinuousClock()
        let start = clock.now
        let allRunning = Task {
            var running: Set<MachineID> = []
            for try await change in watch {
                let seen: [VirtualMachine] =
                    switch change {
                    case .listed(let listing): listing.items
                    case .updated(let machine): [machine]
                    case .removed, .setAside: []
                    }
                for machine in seen where machine.status.phase == .running { running.insert(machine.metadata.id) }
                if running.count == wanted { break }
            }
            return clock.now - start
        }
        let stored = try await seconds { [spec] in try await create(repositories, spec, node) }
        let running = try await withDeadline(.seconds(300), "\(wanted) simulated machines") {
            try await allRunning.value
        }
        life.cancel()
        _ = await life.result
        try await store.close()
        return (stored, Double(running.components.seconds) + Double(running.components.attoseconds) * 1e-18)
    }

    private func create(_ repositories: Repositories, _ spec: MachineSpec, _ node: NodeID) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for caller in 0..<CreateRate.callers {
                group.addTask {
                    for number in stride(from: caller, to: creations, by: CreateRate.callers) {
                        _ = try await repositories.machines.create(
                            .standard, name: "vm-\(number)", spec: spec, node: node, requestID: "create-\(number)")
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private func artifacts(_ repositories: Repositories, _ node: NodeID) async throws -> (ImageID, KernelID) {
        let (image, _) = try await repositories.images.create(
            .standard, name: "busybox", spec: ImageSpec(source: .builtIn), node: node, requestID: "image")
        let (kernel, _) = try await repositories.kernels.create(
            .standard, name: "6.1", spec: KernelSpec(source: "debian", isDefault: true), node: node,
            requestID: "kernel")
        return (image.metadata.id, kernel.metadata.id)
    }

    private func agent(
        _ here: String, _ repositories: Repositories, _ node: NodeID, _ now: @escaping @Sendable () -> Timestamp
    ) throws -> NodeAgent {
        guard let instance = InstanceID("0badcafe") else { throw CoveyError(.internalError, "no instance id") }
        let host = SimulatedHost()
        let artifacts = SimulatedArtifacts(host)
        let epoch = ContinuousClock.now
        let clock = NodeClock(
            now: now, uptime: { ContinuousClock.now - epoch }, sleep: { try await Task.sleep(for: $0) })
        return NodeAgent(
            MachineHost(
                node: node, instance: instance, layout: NodeLayout(machines: "\(here)/vms", run: "\(here)/run"),
                repositories: repositories, drivers: [SimulatedDriver(host)], supervisor: host, images: artifacts,
                kernels: artifacts, disks: artifacts,
                volumes: SimulatedVolumes(host, folder: "\(here)/volumes"), guests: SimulatedConnector(host),
                clock: clock,
                logger: Logger(label: "bench", factory: { _ in SwiftLogNoOpLogHandler() }),
                makeHostKey: { SSHKeyPair(seed: Array(0..<32), publicKey: Array(32..<64), check: 1, comment: "") }))
    }
}
