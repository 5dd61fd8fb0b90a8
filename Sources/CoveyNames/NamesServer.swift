internal import CoveyModel
package import CoveyNetwork
package import CoveySystem
internal import Glibc
internal import Synchronization

/// Answers names of machines on the gateways of their networks and, for the host, on loopback; all other names of
/// machines are asked of the host's servers.
package final class NamesServer: NameService {
    private let settings: NamesSettings
    private let reactor: Reactor
    private let responder: Responder
    private let forwarder: Forwarder
    private let upstreams: Upstreams
    private let policies: EgressPolicies
    private let listeners: ListenerSet
    private let pool = BlockingPool("covey-names")
    private let networks = Mutex<[NetworkID: HostedNetwork]>([:])

    /// A service that listens once it runs. `policies` takes the policies of each state, for an ``EgressOpener``.
    package init(
        _ settings: NamesSettings = NamesSettings(), reactor: Reactor, listener: (any AnswerListener)? = nil,
        policies: EgressPolicies = EgressPolicies(), opener: SocketOpener = SocketOpener()
    ) {
        self.settings = settings
        self.reactor = reactor
        self.policies = policies
        upstreams = Upstreams(settings.upstreams)
        forwarder = Forwarder(upstreams, reactor: reactor, patience: settings.patience)
        responder = Responder(forwarder: forwarder, listener: listener, limits: settings.limits)
        listeners = ListenerSet(opener, responder, reactor, settings.limits)
    }

    /// Returns when the new networks are listened on as well, or could not be.
    package func update(_ names: NameState) async {
        policies.update(names)
        responder.update(names)
        networks.withLock { networks in
            networks = Dictionary(names.networks.map { ($0.id, $0) }) { first, _ in first }
        }
        let wanted = wanted(names)
        // What is listened on is ourselves, and so is what stands in the file while we cannot.
        upstreams.avoid(Set(wanted.map(\.endpoint)))
        do {
            try await listeners.want(wanted)
        } catch {
            // The caller was cancelled: the next look listens on what is wanted now.
            return
        }
    }

    package func problems() async -> [String] {
        var problems: [String] = []
        // Two transports of an address fail together as a rule: they are told as one.
        let failures = await listeners.failures.filter { !$0.value.isErrno(ENODEV) }
        for (endpoint, failed) in Dictionary(grouping: failures, by: \.key.endpoint)
            .sorted(by: { $0.key.description < $1.key.description })
        {
            guard let (key, error) = failed.min(by: { $0.key.transport.rawValue > $1.key.transport.rawValue }) else {
                continue
            }
            problems.append(await text(endpoint, key, error))
        }
        if let problem = upstreams.problem { problems.append("outside names are answered for nobody: \(problem)") }
        return problems
    }

    /// Listens until it is cancelled; then all addresses are free again.
    package func run() async throws {
        forwarder.begin()
        await refresh()
        do {
            try await listeners.begin()
            while true {
                // Neither a foreign server's end nor a link that was made anew has an event that we could wait for.
                try await Task.sleep(for: settings.interval)
                await refresh()
                try await listeners.reconcile()
            }
        } catch {
            forwarder.end()
            await listeners.end()
            throw error
        }
    }

    /// Where it listens at the moment.
    package func listening() async -> Set<SocketEndpoint> { await listeners.listening }

    /// What was done so far.
    package var figures: NamesFigures { responder.figures }

    private func refresh() async {
        let upstreams = upstreams
        // Reading a file does not fail in the pool: what is wrong with it is a problem.
        let changed = try? await pool.run { @Sendable in upstreams.refresh() }
        if changed == true { responder.forgetKept() }
    }

    private func wanted(_ names: NameState) -> Set<ListenerKey> {
        var wanted: Set<ListenerKey> = []
        for transport in TransportProtocol.allCases {
            if let host = settings.host {
                wanted.insert(ListenerKey(place: .host, endpoint: host, transport: transport, device: nil))
            }
            for network in names.networks {
                let device = settings.link(network)
                var addresses = [IPAddress.v4(network.spec.gateway)]
                if let six = network.spec.gateway6 { addresses.append(.v6(six)) }
                for address in addresses {
                    wanted.insert(
                        ListenerKey(
                            place: .network(network.id), endpoint: SocketEndpoint(address, port: settings.port),
                            transport: transport, device: device))
                }
            }
        }
        return wanted
    }

    private func text(_ endpoint: SocketEndpoint, _ key: ListenerKey, _ error: SystemError) async -> String {
        let whose: String
        switch key.place {
        case .host: whose = "the host is answered no names"
        case .network(let id):
            let network = networks.withLock { $0[id] }
            whose = "machines of network \(network?.name ?? id.description) are answered no names"
        }
        guard error.isErrno(EADDRINUSE) else { return "\(whose) on \(endpoint): \(error.reason)" }
        let owner = try? await pool.run { @Sendable in try SocketOwner.find(endpoint, key.transport) }
        guard let owner else { return "\(whose): another process listened on \(endpoint) (\(key.transport.rawValue))" }
        return "\(whose): \(owner.text) listens on \(owner.endpoint) (\(key.transport.rawValue)); "
            + "stop it, or have it listen on its own addresses alone"
    }
}
