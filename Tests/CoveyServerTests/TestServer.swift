import CoveyClient
import CoveyModel
import CoveyServer
import CoveyStore
import CoveySystem
import Glibc
import Logging

/// A server on a socket in a folder of its own, with a store in memory and a node that is not there.
struct TestServer: Sendable {
    let repositories: Repositories
    let gateway = FakeGateway()
    let server: APIServer
    let endpoint: DaemonEndpoint
    let node: NodeID
    let settings: ServerSettings

    /// Runs `body` against a server that serves.
    static func with<Result: Sendable>(
        limit: RateLimit = RateLimit(), authorizer: any Authorizer = SocketAuthorizer(),
        _ body: @escaping @Sendable (TestServer) async throws -> Result
    ) async throws -> Result {
        let folder = "/tmp/cvy-api-\(getpid())-\(UInt32.random(in: .min ... .max))"
        try makeFolder(folder)
        let test = try await TestServer(folder: folder, limit: limit, authorizer: authorizer)
        do {
            let result = try await test.serving { try await body(test) }
            try removeTree(folder)
            return result
        } catch {
            try removeTree(folder)
            throw error
        }
    }

    init(folder: String, limit: RateLimit, authorizer: any Authorizer) async throws {
        let now = Timestamp(milliseconds: 1_700_000_000_000)
        let ids = IdentifierSource(time: { now })
        repositories = try await Repositories.open(MemoryStore(), ids: ids, now: { now })
        node = ids.next()
        endpoint = DaemonEndpoint(socket: "\(folder)/covey.sock")
        settings = ServerSettings(
            socket: endpoint.socket, node: node,
            version: DaemonVersion(version: "1.2.3", commit: "abc", instance: "0badcafe", root: folder),
            limits: MachineLimits(cpus: 4, memory: .gibibytes(8)), rateLimit: limit)
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        server = try APIServer(
            settings: settings, repositories: repositories, gateway: gateway, ids: ids, authorizer: authorizer,
            logger: logger)
    }

    func serving<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
        let (ready, isReady) = AsyncStream<Void>.makeStream()
        return try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask {
                defer { isReady.finish() }
                try await server.run { isReady.finish() }
                return nil
            }
            for await _ in ready {}
            group.addTask { try await body() }
            var result: Result?
            do {
                while let next = try await group.next() {
                    if let next {
                        result = next
                        server.beginShutdown()
                    }
                }
            } catch {
                server.beginShutdown()
                throw error
            }
            guard let result else { throw CoveyError(.failure, "the server ended before the test") }
            return result
        }
    }

    /// Calls as a user would.
    func call<Result: Sendable>(
        _ body: @escaping @Sendable (CoveyClient) async throws -> Result
    ) async throws -> Result {
        try await CoveyClient.connect(to: endpoint, timeout: .seconds(10), body)
    }

    /// A kernel that can be booted.
    @discardableResult
    func addKernel(_ name: String = "debian", isDefault: Bool = true) async throws -> Kernel {
        let kernel = try await repositories.kernels.create(
            .standard, name: name, spec: KernelSpec(source: "debian", isDefault: isDefault), node: node,
            requestID: "kernel-\(name)"
        ).kernel
        return try await repositories.kernels.updateStatus(kernel.metadata.id) { $0.state = .ready }
    }

    /// An image that can be used.
    @discardableResult
    func addImage(_ name: String = "debian") async throws -> Image {
        let image = try await repositories.images.create(
            .standard, name: name, spec: ImageSpec(source: .debian(suite: "bookworm")), node: node,
            requestID: "image-\(name)"
        ).image
        return try await repositories.images.updateStatus(image.metadata.id) { status in
            status.state = .ready
            status.size = .mebibytes(512)
        }
    }

    /// A machine that runs, as its node says.
    @discardableResult
    func addMachine(_ name: String, phase: MachinePhase = .running) async throws -> VirtualMachine {
        let machine = try await repositories.machines.create(
            .standard, name: name, labels: ["tier": "web"], spec: MachineSpec(image: "busybox"), node: node,
            requestID: "vm-\(name)"
        ).machine
        return try await repositories.machines.updateStatus(machine.metadata.id) { $0.phase = phase }
    }
}

/// The error that a call throws; a failure where it throws none.
func failure<Result>(_ body: () async throws -> Result) async -> CoveyError? {
    do {
        _ = try await body()
        return nil
    } catch { return error as? CoveyError }
}
