package import CoveyModel
package import CoveyNetwork
internal import Synchronization

/// The policies of interfaces: what ``NamesServer`` was told last, for whoever needs it beside.
package final class EgressPolicies: Sendable {
    private let state = Mutex<[InterfaceKey: EgressPolicy]>([:])

    /// Without any.
    package init() {}

    /// Takes the policies of a state: a machine's own, or its network's.
    package func update(_ names: NameState) {
        let networks = Dictionary(names.networks.map { ($0.id, $0.spec.egress) }) { first, _ in first }
        let policies = Dictionary(
            names.interfaces.map { ($0.key, $0.egress ?? networks[$0.network] ?? .closed) }
        ) { first, _ in first }
        state.withLock { $0 = policies }
    }

    /// An interface's policy; nil where it is not known.
    package subscript(key: InterfaceKey) -> EgressPolicy? { state.withLock { $0[key] } }
}

/// Opens on the host what answers name, by the rules of the machine that asked.
package final class EgressOpener: AnswerListener {
    private struct Opened: Hashable {
        var key: InterfaceKey
        var address: IPAddress
        var ports: ClosedRange<UInt16>?
        var transport: TransportProtocol?
    }

    /// As many openings as are remembered; more only cost calls.
    private static let mostRemembered = 10000
    /// What is opened beyond the time that was asked for, so that a name asked again and again is opened seldom.
    private static let surplus = Duration.seconds(5)

    private let host: any NetworkHost
    private let policies: EgressPolicies
    private let failed: @Sendable (any Error) -> Void
    private let opened = Mutex<[Opened: ContinuousClock.Instant]>([:])

    /// An opener for a host. `failed` hears of what the host could not open; the answer is sent all the same.
    package init(host: any NetworkHost, policies: EgressPolicies, failed: @escaping @Sendable (any Error) -> Void) {
        self.host = host
        self.policies = policies
        self.failed = failed
    }

    package func answers(_ name: String, to key: InterfaceKey, addresses: [IPAddress], timeToLive: Duration) async {
        guard let policy = policies[key] else { return }
        let wanted = policy.openings(name, for: key, addresses: addresses, timeToLive: timeToLive)
        let now = ContinuousClock.now
        var openings = opened.withLock { opened in
            wanted.filter { opening in
                !Self.parts(opening).allSatisfy { part in opened[part].map { $0 >= now + opening.duration } ?? false }
            }
        }
        guard !openings.isEmpty else { return }
        for index in openings.indices { openings[index].duration += Self.surplus }
        do {
            try await host.open(openings)
        } catch { return failed(error) }
        opened.withLock { opened in
            if opened.count > Self.mostRemembered { opened = [:] }
            for opening in openings {
                for part in Self.parts(opening) { opened[part] = now + opening.duration }
            }
        }
    }

    /// Forgets what was opened: after the host has begun anew, or an interface has.
    package func forget(_ key: InterfaceKey? = nil) {
        opened.withLock { opened in
            guard let key else {
                opened = [:]
                return
            }
            opened = opened.filter { $0.key.key != key }
        }
    }

    private static func parts(_ opening: EgressOpening) -> [Opened] {
        opening.addresses.map {
            Opened(key: opening.key, address: $0, ports: opening.ports, transport: opening.transport)
        }
    }
}
