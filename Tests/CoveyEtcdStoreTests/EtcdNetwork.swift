internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveySystem
internal import CoveyTesting

/// Members in network namespaces of their own on one bridge, and clients that reach each by a relay.
struct EtcdNetwork: Sendable {
    /// One way between two members, by their numbers.
    struct Cut: Hashable, Sendable {
        var from: Int
        var to: Int
    }

    static let prefix = "10.98.0."
    static let clientPort = 2379
    static let peerPort = 2380

    /// The ways of clients, one for each member.
    let relays: [Relay]
    private let hub: PrivateNetwork
    private let places: [PrivateNetwork]

    /// A member's address.
    static func address(_ index: Int) -> String { "\(prefix)\(index + 1)" }

    /// Makes the namespaces, the bridge and the relays.
    init(_ count: Int, reactor: Reactor) async throws {
        hub = try await PrivateNetwork()
        try await hub.shell(
            """
            ip link set lo up
            ip link add hub type bridge
            ip addr add \(Self.prefix)254/24 dev hub
            ip link set hub up
            """)
        var places: [PrivateNetwork] = []
        var relays: [Relay] = []
        for index in 0..<count {
            let place = try await PrivateNetwork()
            try await hub.shell(
                """
                ip link add port\(index) type veth peer name eth0 netns \(place.path)
                ip link set port\(index) master hub up
                """)
            try await place.shell(
                "ip link set lo up; ip addr add \(Self.address(index))/24 dev eth0; ip link set eth0 up")
            places.append(place)
            guard let address = IPv4Address(Self.address(index)) else { continue }
            relays.append(
                try Relay(
                    to: SocketEndpoint(.v4(address), port: UInt16(Self.clientPort)), from: hub, reactor: reactor))
        }
        self.places = places
        self.relays = relays
    }

    /// Where a member runs.
    func place(_ index: Int) -> EtcdPlace {
        EtcdPlace(
            host: Self.address(index), endpoint: relays[index].endpoint,
            entry: ["/usr/bin/nsenter", "--net=\(places[index].path)", "--"])
    }

    /// Cuts these ways between members, and heals all others. Clients still reach all.
    func cut(_ cuts: Set<Cut>) async throws {
        for (index, place) in places.enumerated() {
            let rules = cuts.filter { $0.to == index }.map(\.from).sorted().map { from in
                """
                ip saddr \(Self.address(from)) tcp dport \(Self.peerPort) drop
                ip saddr \(Self.address(from)) tcp sport \(Self.peerPort) drop
                """
            }
            try await place.shell(
                """
                nft -f - <<'END'
                table inet cut
                delete table inet cut
                table inet cut {
                chain in {
                type filter hook input priority 0;
                \(rules.joined(separator: "\n"))
                }
                }
                END
                """)
        }
    }

    /// Heals everything, between members and on the ways of clients.
    func heal() async throws {
        try await cut([])
        for relay in relays {
            relay.slow(.zero)
            relay.silence([])
        }
    }

    /// Ends the relays; the namespaces end with the members.
    func close() async { for relay in relays { await relay.close() } }
}

extension Set<EtcdNetwork.Cut> {
    /// Both ways between each of these and each of those.
    static func between(_ some: [Int], _ others: [Int]) -> Set {
        Set(
            some.flatMap { one in
                others.flatMap { [EtcdNetwork.Cut(from: one, to: $0), EtcdNetwork.Cut(from: $0, to: one)] }
            })
    }

    /// Each of these hears its neighbours in a circle alone: all see a majority of five, no two the same one.
    static func ring(_ members: [Int]) -> Set {
        var cuts: Set = []
        for (place, one) in members.enumerated() {
            for (other, two) in members.enumerated() {
                let distance = abs(place - other)
                if distance > 1 && distance < members.count - 1 {
                    cuts.formUnion(Set.between([one], [two]))
                }
            }
        }
        return cuts
    }

    /// Two halves that see each other through the one in the middle alone.
    static func bridge(_ members: [Int]) -> Set {
        let middle = members.count / 2
        return .between(Array(members[..<middle]), Array(members[(middle + 1)...]))
    }
}

/// Lends a cluster whose members can be cut off from each other and from their clients.
func withEtcdNetwork<T: Sendable>(
    _ count: Int = 3, secured: Bool = false, arguments: [String] = [],
    _ body: @Sendable (EtcdCluster, EtcdNetwork) async throws -> T
) async throws -> T {
    let reactor = try Reactor()
    defer { reactor.shutdown() }
    let network = try await EtcdNetwork(count, reactor: reactor)
    let outcome: Result<T, any Error>
    do {
        outcome = .success(
            try await withEtcd(count, secured: secured, arguments: arguments, network: network) { cluster in
                try await body(cluster, network)
            })
    } catch { outcome = .failure(error) }
    await network.close()
    return try outcome.get()
}
