internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyTesting
internal import Synchronization

extension EtcdTimes {
    /// Short waits, for tests in which most calls meet a fault.
    static var short: EtcdTimes {
        var times = EtcdTimes()
        times.read = .seconds(2)
        times.write = .seconds(2)
        times.call = .seconds(5)
        times.silence = .seconds(1)
        times.sign = .seconds(1)
        times.look = .seconds(2)
        return times
    }
}

/// Faults of a cluster in a network of its own, chosen by a seed, and healed.
final class EtcdChaos: Sendable {
    /// What can go wrong.
    enum Fault: String, CaseIterable, Sendable {
        case killOne = "kill", killLeader = "kill leader", killMost = "kill most"
        case pauseOne = "pause", pauseLeader = "pause leader", stutter
        case isolateLeader = "leader cut off", split, oneWay = "one way", ring, bridge
        case cutClients = "client cut off", slowClients = "slow line"
        case compact, defragment

        /// Faults of one group are not there at once.
        fileprivate var group: Int {
            switch self {
            case .killOne, .killLeader, .killMost, .pauseOne, .pauseLeader, .stutter: 0
            case .isolateLeader, .split, .oneWay, .ring, .bridge: 1
            case .cutClients, .slowClients: 2
            // A member that catches up must not be defragmented, so this comes alone.
            case .compact, .defragment: 3
            }
        }
    }

    private typealias Undo = @Sendable () async throws -> Void

    private let cluster: EtcdCluster
    private let network: EtcdNetwork
    private let observer: EtcdStore
    private let faults: [Fault]
    private let random: Mutex<SeededGenerator>
    private let seen = Mutex<[Fault: Int]>([:])

    /// Chaos among the members of a cluster that serves.
    init(_ cluster: EtcdCluster, _ network: EtcdNetwork, seed: UInt64, faults: [Fault] = Fault.allCases) async throws {
        self.cluster = cluster
        self.network = network
        self.faults = faults
        random = Mutex(SeededGenerator(seed: seed))
        observer = try await cluster.open("observer", times: .short)
    }

    /// Ends its connections.
    func close() async { await observer.close() }

    /// How often what went wrong.
    var counts: [(fault: Fault, count: Int)] {
        seen.withLock { seen in Fault.allCases.compactMap { fault in seen[fault].map { (fault, $0) } } }
    }

    /// One or two faults at once for a while, then all is healed.
    ///
    /// - Parameter longest: The longest that they last.
    func step(upTo longest: Duration) async throws {
        let first = pick(faults)
        var chosen = [first]
        if first.group != 3, chance(3) {
            let others = faults.filter { $0.group != first.group && $0.group != 3 }
            if !others.isEmpty { chosen.append(pick(others)) }
        }
        var undos: [Undo] = []
        for fault in chosen {
            seen.withLock { $0[fault, default: 0] += 1 }
            undos.append(try await begin(fault))
        }
        if first.group != 3 { try await Task.sleep(for: duration(.milliseconds(300), longest)) }
        for undo in undos.reversed() { try await undo() }
    }

    /// Waits until all members have one leader, and no fault is left.
    func settle() async throws {
        try await network.heal()
        try await eventually(within: .seconds(90)) {
            await observer.health.look()
            return observer.health.trouble == nil
        }
    }

    /// The member that leads; nil where none says so.
    func leader() async -> Int? {
        await observer.health.look()
        return observer.health.members.firstIndex { $0.isLeader }
    }

    private var count: Int { cluster.members.count }

    private func begin(_ fault: Fault) async throws -> Undo {
        switch fault {
        case .killOne: return try await kill([number()])
        case .killLeader: return try await kill([await leader() ?? number()])
        case .killMost: return try await kill(Array(shuffled().prefix(count / 2 + 1)))
        case .pauseOne: return try pause(number())
        case .pauseLeader: return try pause(await leader() ?? number())
        case .stutter:
            let member = cluster.members[number()]
            for _ in 0..<12 {
                try member.pause()
                try await Task.sleep(for: .milliseconds(60))
                try member.resume()
                try await Task.sleep(for: .milliseconds(30))
            }
            return {}
        case .isolateLeader:
            let leader = await leader() ?? number()
            return try await cut(.between([leader], (0..<count).filter { $0 != leader }))
        case .split:
            let all = shuffled()
            return try await cut(.between(Array(all[..<(count / 2)]), Array(all[(count / 2)...])))
        case .oneWay:
            let all = shuffled()
            return try await cut([EtcdNetwork.Cut(from: all[0], to: all[1])])
        // A circle of three has no gaps: there a bridge is as near as it comes.
        case .ring: return try await cut(count > 3 ? .ring(shuffled()) : .bridge(shuffled()))
        case .bridge: return try await cut(.bridge(shuffled()))
        case .cutClients:
            let ways: Set<Relay.Way> = chance(2) ? [.toMember, .toClient] : [chance(2) ? .toMember : .toClient]
            let relay = network.relays[number()]
            relay.silence(ways)
            return { relay.silence([]) }
        case .slowClients:
            let relay = network.relays[number()]
            relay.slow(duration(.milliseconds(20), .milliseconds(300)))
            return { relay.slow(.zero) }
        case .compact:
            try await passing { [observer] in try await observer.compact(try await observer.currentRevision()) }
            return {}
        case .defragment:
            let member = cluster.members[number()].endpoint
            try await passing { [cluster] in
                let administration = try EtcdAdministration(member, tls: cluster.tls)
                defer { administration.close() }
                try await administration.defragment()
            }
            return {}
        }
    }

    private func kill(_ numbers: [Int]) async throws -> Undo {
        let members = numbers.map { cluster.members[$0] }
        for member in members { try await member.kill() }
        return { for member in members { try member.start() } }
    }

    private func pause(_ number: Int) throws -> Undo {
        let member = cluster.members[number]
        try member.pause()
        return { try member.resume() }
    }

    private func cut(_ cuts: Set<EtcdNetwork.Cut>) async throws -> Undo {
        try await network.cut(cuts)
        return { [network] in try await network.cut([]) }
    }

    /// What may find the members busy with themselves.
    private func passing(_ body: @Sendable () async throws -> Void) async throws {
        do { try await body() } catch let error as CoveyError where error.retryable {}
    }

    private func pick(_ faults: [Fault]) -> Fault {
        random.withLock { random in faults.randomElement(using: &random) } ?? .killOne
    }

    private func number() -> Int { random.withLock { random in Int.random(in: 0..<count, using: &random) } }
    private func shuffled() -> [Int] { random.withLock { random in (0..<count).shuffled(using: &random) } }
    private func chance(_ of: Int) -> Bool { random.withLock { random in Int.random(in: 0..<of, using: &random) == 0 } }

    private func duration(_ least: Duration, _ most: Duration) -> Duration {
        random.withLock { random in
            .milliseconds(
                Int64.random(in: least.wholeMilliseconds...max(least, most).wholeMilliseconds, using: &random))
        }
    }
}
