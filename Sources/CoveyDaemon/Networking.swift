internal import CoveyHostNetwork
internal import CoveyModel
internal import CoveyNames
internal import CoveyNetwork
internal import CoveyNode
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM
internal import Logging

/// What a daemon has of networks: the host's side, and names.
struct Networking: Sendable {
    let host: any NetworkHost
    let names: any NameService

    /// Puts together what the settings say; the host is not touched.
    init(_ settings: DaemonSettings, _ instance: InstanceID, reactor: Reactor, logger: Logger) {
        guard settings.hasNetworks else {
            host = NoNetworks("network.mode is off")
            names = NoNames()
            return
        }
        let network = HostNetwork(instance: instance, folder: settings.paths.state, sparePool: settings.spareTaps)
        let policies = EgressPolicies()
        let opener = EgressOpener(host: network, policies: policies) { error in
            logger.error("a name's addresses could not be opened", metadata: ["error": "\(error)"])
        }
        let upstreams: UpstreamSource =
            settings.resolvers.isEmpty
            ? .file("/etc/resolv.conf") : .fixed(settings.resolvers.map { SocketEndpoint($0, port: 53) })
        host = DaemonNetwork(base: network, opener: opener)
        names = NamesServer(
            NamesSettings(
                host: settings.namesEndpoint.map { SocketEndpoint($0.address, port: $0.port) }, upstreams: upstreams,
                link: { HostNetwork.bridge(of: $0.id, instance: instance) }), reactor: reactor, listener: opener,
            policies: policies)
    }
}

/// The host as a daemon has it: openings by name may have gone with each change, so that what a name names is opened
/// anew when it is asked; facts are looked at once in a while, though every creation of a machine asks.
private struct DaemonNetwork: NetworkHost {
    private static let lifetime = Duration.seconds(10)

    let base: HostNetwork
    let opener: EgressOpener
    private let remembered: Remembered<NetworkHostFacts>

    init(base: HostNetwork, opener: EgressOpener) {
        self.base = base
        self.opener = opener
        remembered = Remembered {
            await base.facts()
        } isFresh: {
            $1 < DaemonNetwork.lifetime
        }
    }

    func apply(_ state: NetworkState) async throws -> [NetworkProblem] {
        defer { opener.forget() }
        return try await base.apply(state)
    }

    func facts() async -> NetworkHostFacts { await remembered.value() }
    func tap(_ key: InterfaceKey) async -> String? { await base.tap(key) }
    func open(_ openings: [EgressOpening]) async throws { try await base.open(openings) }
    func figures() async throws -> [InterfaceKey: InterfaceFigures] { try await base.figures() }
    func holders(_ ports: [PublishedPort]) async throws -> [PortHolder] { try await base.holders(ports) }
    func uninstall() async throws { try await base.uninstall() }
}

extension ResolvedRoute {
    /// The host's own route to a listener.
    static func host(_ listener: SocketEndpoint, _ instance: InstanceID, _ pool: BlockingPool) async throws
        -> ResolvedRoute
    {
        let version = try await pool.run { try HostServices.version() }
        return ResolvedRoute(to: listener, instance: instance, version: version.flatMap { Self.version(in: $0) }) {
            try await pool.run { try HostServices.reload("systemd-resolved") }
        }
    }
}

extension Daemon {
    /// Makes the network of machines that name none, where the host can carry networks.
    func makeDefaultNetwork(_ host: any NetworkHost, _ repositories: Repositories) async throws {
        let facts = await host.facts()
        guard facts.available else { return }
        _ = try await repositories.networks.ensureDefault(avoiding: facts.routed, withIPv6: facts.hasIPv6)
    }

    /// Has the host's resolver ask us for machines' names, where it can be told. Returns what is to be said of it.
    func routeNames(_ instance: InstanceID, _ pool: BlockingPool, _ now: Timestamp) async throws -> Condition? {
        guard settings.hasNetworks, let listener = settings.namesEndpoint else { return nil }
        let route = try await ResolvedRoute.host(
            SocketEndpoint(listener.address, port: listener.port), instance, pool)
        do {
            try await route.install()
            return Condition(
                type: "HostNames", state: .yes, reason: "Routed", message: "this host finds machines as NAME.vm",
                since: now)
        } catch {
            let problem = CoveyError.wrapping(error)
            return Condition(
                type: "HostNames", state: .no, reason: "NotRouted",
                message: "this host does not find machines by name: \(problem); \(problem.remedy ?? route.otherwise)",
                since: now)
        }
    }
}

/// What a root has changed of its host.
package struct HostChanges: Sendable {
    private let state: String
    private let run: String
    private let layout: NodeLayout

    /// The changes of a root, by its folders.
    package init(state: String, machines: String, run: String) {
        self.state = state
        self.run = run
        layout = NodeLayout(machines: machines, run: run)
    }

    /// Takes links, rules and files away, and puts settings back. What is stored stays.
    ///
    /// Returns what was done, for people. Errors: ``ErrorCode/conflict`` while a daemon or a machine of it runs.
    package func takeBack() async throws -> [String] {
        let pool = BlockingPool()
        guard try await pool.run({ fileExists("\(state)/identity.json") }) else {
            return ["there is no root whose state is in \(state): nothing to take back"]
        }
        let lock = try await RootLock(state)
        let instance = try await pool.run {
            try Identity.load(state, ids: IdentifierSource(time: Daemon.now)).instance
        }
        try await pool.run { try refuseRunning() }
        // First of all what may be refused.
        let left = try await OwnMember.end(state, run: run, instance)
        try await HostNetwork(instance: instance, folder: state, sparePool: 0).uninstall()
        // Whatever the settings say now, a file of ours may be there.
        let anywhere = SocketEndpoint(.v4(IPv4Address(bits: 0x7F00_0001)), port: 53)
        try await ResolvedRoute.host(anywhere, instance, pool).remove()
        try await pool.run { try MemoryFileSystem(path: layout.memory).unmountIfUnused() }
        withExtendedLifetime(lock) {}
        return left + [
            "links, rules and settings of instance \(instance) are taken back",
            "what is stored stays: remove the root where it is not needed any more",
        ]
    }

    /// Machines outlive daemons: one that runs still needs its network.
    private func refuseRunning() throws {
        for name in fileExists(layout.machines) ? try listFolder(layout.machines) : [] {
            guard let id = MachineID(name), let process = layout.process(of: id),
                let facts = ProcessFacts(pid: process.pid), facts.startTime == process.startTime, !facts.isZombie
            else { continue }
            throw CoveyError(
                .conflict, "a machine runs: process \(process.pid)",
                remedy: "start the daemon and stop its machines: covey vm stop $(covey vm ls -q)")
        }
    }
}
