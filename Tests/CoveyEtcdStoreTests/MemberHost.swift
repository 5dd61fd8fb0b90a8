internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM
internal import Glibc
internal import Synchronization
internal import Testing

/// What stands for the death of a daemon between two steps.
struct DaemonDied: Error, Equatable {
    var point: String
}

/// A host with a member of its own, and what stands for its daemon: the member goes on without it.
final class MemberHost: Sendable {
    private struct State {
        var member: EtcdMember?
        var store: EtcdStore?
        var work: Task<Void, any Error>?
    }

    let folder: MemberFolder
    let supervisor = MemberSupervisor()
    let address: String
    let port: Int
    let place: String
    private let state = Mutex(State())

    /// A host whose daemon never ran.
    init(_ place: String, address: String) throws {
        self.place = place
        self.address = address
        port = try freePairOfPorts()
        folder = MemberFolder("\(place)/etcd", user: 0x6000_FFFF)
    }

    /// Where clients reach it.
    var endpoint: EtcdEndpoint { EtcdEndpoint(host: address, port: port) }
    /// Where its authority lies.
    var authority: String { "\(folder.path)/pki" }
    /// What is wrong with the member.
    var troubles: [String: CoveyError] {
        Dictionary(
            uniqueKeysWithValues: (state.withLock { $0.member }?.troubles ?? []).map { ($0.about, $0.error) })
    }
    /// How far the member has come; nil before the first start.
    var phase: MemberRecord.Phase? { get throws { try folder.load()?.step } }

    /// A member of this host that does nothing yet.
    func member(
        joining others: [MemberHost] = [], authority: String? = nil, program: String = "/usr/bin/etcd",
        times: EtcdMember.Times? = nil, dyingAt point: String? = nil
    ) throws -> EtcdMember {
        try makeFolder(place)
        return EtcdMember(
            folder, program: program, supervisor: supervisor, pool: BlockingPool(),
            settings: MemberSettings(
                listen: endpoint, join: others.map(\.endpoint), authority: authority ?? others.first?.authority),
            times: times ?? .short
        ) { if $0 == point { throw DaemonDied(point: $0) } }
    }

    /// Starts the daemon.
    func start(
        joining others: [MemberHost] = [], authority: String? = nil, program: String = "/usr/bin/etcd",
        times: EtcdMember.Times? = nil, dyingAt point: String? = nil
    ) async throws {
        let member = try member(
            joining: others, authority: authority, program: program, times: times, dyingAt: point)
        state.withLock { $0.member = member }
        let address = try await member.start()
        let store = try await EtcdStore.reached(address)
        let work = Task { try await member.run(store) { store.follow($0) } }
        state.withLock { state in
            state.store = store
            state.work = work
        }
    }

    /// The store of the daemon that runs.
    var store: EtcdStore {
        get throws {
            guard let store = state.withLock({ $0.store }) else { throw CoveyError(.internalError, "no daemon runs") }
            return store
        }
    }

    /// Waits until the daemon has died by itself, and says at which point.
    func death() async throws -> String {
        let work = state.withLock { $0.work }
        do { try await work?.value } catch let death as DaemonDied {
            await stop()
            return death.point
        }
        return "it ended"
    }

    /// Ends the daemon; the member goes on.
    func stop() async {
        let (work, store) = state.withLock { state in
            defer { (state.work, state.store, state.member) = (nil, nil, nil) }
            return (state.work, state.store)
        }
        work?.cancel()
        _ = await work?.result
        await store?.close()
    }

    /// Ends the member with SIGKILL.
    func crash() async throws {
        guard try await supervisor.processes().contains(where: { $0.name == "etcd" && $0.end == nil }) else { return }
        try await supervisor.kill("etcd")
        _ = try await supervisor.waitForExit("etcd")
    }

    /// Ends the daemon and the member, as a host that loses its power.
    func lose() async throws {
        await stop()
        try await supervisor.forget("etcd")
    }

    /// Waits until the member votes.
    func votes(within limit: Duration = .seconds(60)) async throws {
        do { try await eventually(within: limit) { try phase == .voting } } catch {
            throw CoveyError(.failure, "\(address) does not vote: \(try String(describing: phase)), \(troubles)")
        }
    }

    /// What a member says of the others.
    func members() async throws -> [EtcdAdministration.Member] {
        let own = try EtcdAdministration(EtcdEndpoint(host: "127.0.0.1", port: port), tls: folder.tls)
        defer { own.close() }
        var members: [EtcdAdministration.Member] = []
        // It says nothing for a moment where the one that led has just gone.
        try await eventually {
            try await own.settle()
            members = try await own.members()
            return true
        }
        return members
    }

    /// What the member has said last.
    var log: String {
        get throws {
            let path = "\(folder.path)/etcd.log"
            return fileExists(path) ? String(decoding: try readFile(path).suffix(1200), as: UTF8.self) : "no log"
        }
    }
}

extension EtcdMember.Times {
    /// Times that a test can wait for.
    static var short: EtcdMember.Times {
        var times = EtcdMember.Times()
        times.upkeep = .milliseconds(500)
        times.step = .milliseconds(100)
        times.pause = .milliseconds(100)
        times.quota = .mebibytes(256)
        return times
    }
}

extension EtcdStore {
    /// Opens a store as soon as it can be.
    static func reached(_ address: EtcdAddress) async throws -> EtcdStore {
        let clock = ContinuousClock()
        let start = clock.now
        while true {
            do { return try await EtcdStore.open(address) } catch let error as CoveyError
                where error.retryable && start.duration(to: clock.now) < .seconds(60)
            {
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    /// Writes a key until it is surely written, as a caller does who may repeat it.
    func keep(_ key: StoreKey, _ value: UInt8 = 1) async throws {
        try await eventually {
            do {
                _ = try await transact(Transaction(success: [.put(key, [value])]))
                return true
            } catch let error as CoveyError where error.code == .outcomeUnknown { return false }
        }
    }
}

/// Lends hosts with addresses of their own on loopback, and ends and removes all in any case.
func withHosts<T: Sendable>(
    _ count: Int, _ body: @Sendable ([MemberHost]) async throws -> T
) async throws -> T {
    let folder = "/tmp/cvy-etcd-m-\(UInt64.random(in: .min ... .max))"
    try makeFolder(folder, mode: 0o755)
    let hosts: [MemberHost]
    do {
        hosts = try (0..<count).map { try MemberHost("\(folder)/\($0)", address: "127.0.0.\($0 + 2)") }
    } catch {
        try removeTree(folder)
        throw error
    }
    let outcome: Result<T, any Error>
    do { outcome = .success(try await body(hosts)) } catch {
        for host in hosts {
            print("etcd of \(host.address): \(try String(describing: host.phase)) \(host.troubles) \(try host.log)")
        }
        outcome = .failure(error)
    }
    for host in hosts {
        try await host.lose()
        try await host.supervisor.forget("etcd-recovery")
    }
    try removeTree(folder)
    return try outcome.get()
}

/// Two ports in a row that nobody listens on, at any address.
private func freePairOfPorts() throws -> Int {
    for _ in 0..<100 {
        // Below those that connections get by themselves: a member that ends comes back to its own.
        let port = Int.random(in: 6000..<16000) * 2
        if isFree(port), isFree(port + 1) { return port }
    }
    throw CoveyError(.exhausted, "there are no two free ports in a row")
}

private func isFree(_ port: Int) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = 0
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
            bind(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}
