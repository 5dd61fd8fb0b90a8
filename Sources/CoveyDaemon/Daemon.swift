internal import CoveyCatalogs
internal import CoveyDisks
internal import CoveyGuardClient
internal import CoveyGuestChannel
internal import CoveyGuestProtocol
package import CoveyModel
internal import CoveyNode
internal import CoveyQEMU
internal import CoveyRegistry
internal import CoveyRootDisks
internal import CoveyServer
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM
internal import FoundationEssentials
package import Logging
internal import ServiceLifecycle
internal import UnixSignals

/// The daemon: puts the parts together and runs them until it is told to stop. Machines go on without it.
package struct Daemon: Sendable {
    let settings: DaemonSettings
    private let logger: Logger

    /// A daemon that touches nothing until ``run(onReady:)``.
    package init(_ settings: DaemonSettings, logger: Logger) {
        self.settings = settings
        self.logger = logger
    }

    /// Runs until SIGTERM or SIGINT. `onReady` is called once callers can connect.
    package func run(onReady: @escaping @Sendable () -> Void = {}) async throws {
        returnFreedMemory()
        let paths = settings.paths
        guard paths.longestSocket.utf8.count <= longestSocketPath else {
            throw CoveyError(
                .invalid, "the root's path is too long: sockets below it would pass 107 bytes",
                remedy:
                    "give --root a path of at most \(107 - paths.longestSocket.utf8.count + paths.run.utf8.count) bytes"
            )
        }
        let now = Self.now
        let ids = IdentifierSource(time: now)
        let pool = BlockingPool()
        let host = try HostReader()
        let identity = try await pool.run { try Self.identity(paths, ids) }
        // The lock comes first: it tells a second daemon of this root to go away.
        let lock = try await RootLock(paths.state)
        defer { lock.release() }
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let launcher = GuardLauncher(
            program: paths.guardProgram, runFolder: paths.run, instance: identity.instance, reactor: reactor)
        let member = try await OwnMember.start(
            settings, instance: identity.instance, guardedBy: launcher, faults: FaultSwitch.points(logger), pool: pool)
        let opening = { @Sendable [settings, logger] in
            try await StateStore.open(settings.store, at: member?.address, folder: paths.state, logger: logger)
        }
        let state = if let member { try await member.support(opening) } else { try await opening() }
        let repositories = try await Repositories.open(state.store, ids: ids, now: now)
        let nodeName = settings.nodeName ?? host.name
        do { try await repositories.nodes.claim(nodeName, for: identity.node) } catch {
            await member?.close()
            try await state.close()
            throw error
        }
        let memory = MemoryFileSystem(path: paths.layout.memory)
        let size = settings.guestMemory ?? ByteCount(host.memory.bytes / 10 * 9)
        try await pool.run { try memory.mountIfNeeded(size: size, instance: identity.instance) }

        let guardClient = try await launcher.connect()
        // They cost a process, and a start has no time for one; where QEMU was missing, it may have come.
        let reader = HostFactsReader(reactor: reactor, supervisor: guardClient, binary: settings.qemu)
        let facts = Remembered {
            await reader.read()
        } isFresh: {
            $0.driverFacts.available || $1 < .seconds(60)
        }
        let driver = QEMUDriver(
            reactor: reactor, supervisor: guardClient, binary: settings.qemu, facts: { await facts.value() })
        var registries = settings.registries
        registries.architecture = host.architecture
        let layers = RegistryImages(
            blobs: "\(paths.images)/blobs", credentials: paths.credentials, settings: registries)
        let disks = try await DiskProbe(
            images: paths.images, machines: paths.machines, instance: identity.instance
        ).run(settings.diskStrategy)
        let networking = Networking(settings, identity.instance, reactor: reactor, logger: logger)
        let certificates = try await pool.run { try guestCertificates() }
        let machineHost = MachineHost(
            node: identity.node, instance: identity.instance, layout: paths.layout, repositories: repositories,
            drivers: [driver], supervisor: guardClient,
            images: ImageStore(root: paths.images, layers: layers, mirror: settings.imageMirror),
            kernels: KernelStore(root: paths.kernels, agent: paths.guestProgram),
            disks: RootDisks(disks.first(where: \.chosen)?.strategy ?? .qcow2, instance: identity.instance),
            volumes: VolumeStore(root: paths.volumes), guests: UnixGuestConnector(reactor: reactor),
            // The one real clock of the node agent, which sleeps through this value alone.
            clock: NodeClock(
                now: now, uptime: Daemon.uptime, sleep: { try await Task.sleep(for: $0) }),
            catalogs: Catalogs(
                settings.catalogs, trusting: settings.catalogCA.map { [$0] } ?? [], scratch: paths.layout.uploads),
            network: networking.host, names: networking.names,
            faults: FaultSwitch.points(logger), pool: pool, logger: logger, settings: nodeSettings(certificates),
            makeHostKey: makeHostKey)
        try await machineHost.sweepSpool()
        let access = RegistryAccess(folder: paths.credentials, settings: registries)
        try await access.sweep(keeping: try await machineHost.awaitedAccess())
        let agent = NodeAgent(machineHost)
        let server = try APIServer(
            settings: serverSettings(identity, host), repositories: repositories,
            gateway: LocalGateway(
                agent: agent, reactor: reactor, registries: access, layers: layers, networks: networking.host),
            ids: ids,
            storeConditions: { state.conditions(now()) + (member?.conditions(now()) ?? []) }, logger: logger)
        try await makeDefaultNetwork(networking.host, repositories)
        let conditions = [try await routeNames(identity.instance, pool, now())].compactMap { $0 }
        server.remember(
            try await register(identity, nodeName, host, repositories, driver, disks, guardClient, conditions, now))

        // A file is one daemon's: nobody else asks whether it is there.
        let shared: [ServiceGroupConfiguration.ServiceConfiguration] =
            settings.store == nil
            ? []
            : [
                .init(
                    service: PresenceService(nodes: repositories.nodes, node: identity.node, name: nodeName))
            ]
        let services = ServiceGroup(
            configuration: .init(
                services: (member.map { [.init(service: MemberService(member: $0, state: state))] } ?? [])
                    + shared + [
                        .init(service: StoreService(store: state.store)),
                        .init(service: AgentService(agent: agent)),
                        .init(service: ServerService(server: server, onReady: onReady)),
                    ],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        do {
            try await services.run()
        } catch {
            await guardClient.close()
            await member?.close()
            try await state.close()
            throw error
        }
        await guardClient.close()
        await member?.close()
        try await state.close()
        try await pool.run { try memory.unmountIfUnused() }
    }

    /// Makes the root's folders and its identity where they are missing, and returns its instance: the guard, where
    /// it is a unit of its own, is started with it before the daemon. Not to be called twice at once.
    package func prepare() async throws -> InstanceID {
        let paths = settings.paths
        return try await BlockingPool().run { try Self.identity(paths, IdentifierSource(time: Self.now)).instance }
    }

    static func identity(_ paths: DaemonPaths, _ ids: IdentifierSource) throws -> Identity {
        // Those who may use the socket must be able to enter its folder; the others are ours alone.
        try makeFolder(parentFolder(paths.socket), mode: 0o755)
        for folder in [paths.state, paths.images, paths.kernels, paths.volumes, paths.machines, paths.run] {
            try makeFolder(folder)
        }
        return try Identity.load(paths.state, ids: ids)
    }

    static let now: @Sendable () -> Timestamp = {
        Timestamp(milliseconds: Int64((Date().timeIntervalSince1970 * 1000).rounded(.down)))
    }

    private static let start = ContinuousClock.now

    private static let uptime: @Sendable () -> Duration = { start.duration(to: .now) }

    private func nodeSettings(_ certificates: [String]) -> NodeSettings {
        var node = settings.node
        node.accelerator = settings.accelerator
        node.certificates = certificates
        return node
    }

    /// What machines trust beside their image's authorities. Errors: the file cannot be read, or holds none.
    private func guestCertificates() throws -> [String] {
        guard let path = settings.guestAuthorities else { return [] }
        let text = String(decoding: try readFile(path, limit: 1 << 20), as: UTF8.self)
        let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----")
        var found: [String] = []
        var isInside = false
        for line in text.split(separator: "\n") {
            if line.hasPrefix(begin) {
                found.append("")
                isInside = true
            }
            guard isInside, !found.isEmpty else { continue }
            found[found.count - 1] += line + "\n"
            if line.hasPrefix(end) { isInside = false }
        }
        guard !found.isEmpty, !isInside else {
            throw CoveyError(
                .invalid, "\(path) holds no certificate in PEM form", remedy: "name another file: guest.ca")
        }
        return found
    }

    private func serverSettings(_ identity: Identity, _ host: HostReader) -> ServerSettings {
        ServerSettings(
            socket: settings.paths.socket, socketGroup: settings.socketGroup, node: identity.node,
            version: DaemonVersion(
                version: CoveyVersion.current, commit: settings.commit, instance: "\(identity.instance)",
                root: settings.root),
            defaults: MachineDefaults(
                cpus: settings.defaultCPUs, memory: settings.defaultMemory, accel: settings.accelerator),
            limits: MachineLimits(cpus: host.cpus, memory: host.memory), architecture: host.architecture,
            rateLimit: settings.rateLimit.map { RateLimit(perSecond: Double($0), burst: Double($0) * 2) }
                ?? RateLimit(), catalogs: settings.catalogs.map(\.name))
    }

    private func register(
        _ identity: Identity, _ name: String, _ host: HostReader, _ repositories: Repositories, _ driver: QEMUDriver,
        _ disks: [DiskStrategyFacts], _ supervisor: any ProcessSupervisor,
        _ conditions: [Condition], _ now: @Sendable () -> Timestamp
    ) async throws -> Node {
        var status = NodeStatus(
            instance: identity.instance, architecture: host.architecture, kernelRelease: host.release,
            cpus: host.cpus, memory: host.memory, version: CoveyVersion.current,
            drivers: [await driver.fingerprint()], disks: disks)
        status.conditions = conditions
        for limitation in try await supervisor.limitations() {
            status.conditions.append(
                Condition(
                    type: "Limits", state: .no, reason: "ControlGroups", message: limitation, since: now()))
        }
        let node = Node(
            metadata: Metadata(
                id: identity.node, name: name, tenant: Tenant.standard.description, createdAt: now()),
            status: status)
        try await repositories.nodes.register(node)
        return node
    }
}

/// Something of the host that costs a look, and is looked at again only when it may have changed.
actor Remembered<Value: Sendable> {
    private let read: @Sendable () async -> Value
    private let isFresh: @Sendable (Value, Duration) -> Bool
    private var last: (value: Value, read: ContinuousClock.Instant)?

    /// A value that is read by `read`, and again where `isFresh` says no of it and its age.
    init(
        _ read: @escaping @Sendable () async -> Value, isFresh: @escaping @Sendable (Value, Duration) -> Bool
    ) {
        self.read = read
        self.isFresh = isFresh
    }

    /// The value.
    func value() async -> Value {
        if let last, isFresh(last.value, last.read.duration(to: .now)) { return last.value }
        let value = await read()
        last = (value, .now)
        return value
    }
}
