internal import CoveyEtcdStore
internal import CoveyGuardClient
internal import CoveyModel
internal import CoveyNode
internal import CoveySystem
internal import Glibc
internal import ServiceLifecycle

/// A root's own member of etcd: started by its guard, kept by its daemon, and outliving both.
struct OwnMember: Sendable {
    /// Where it is reached.
    let address: EtcdAddress
    private let member: EtcdMember
    private let guardClient: GuardClient

    /// Starts it, or takes it over. Nil where the state is kept elsewhere.
    static func start(
        _ settings: DaemonSettings, instance: InstanceID, guardedBy launcher: GuardLauncher, faults: FaultPoints,
        pool: BlockingPool
    ) async throws -> OwnMember? {
        let (store, folder) = (settings.store, settings.paths.state)
        guard store == StoreRecord.own else { return nil }
        try StoreRecord.load(folder)?.check(store)
        let client = try await launcher.connect()
        let member = EtcdMember(
            place(folder, instance), supervisor: client, pool: pool, settings: try settings.etcd.member,
            reach: faults.reach)
        do {
            return OwnMember(address: try await member.start(), member: member, guardClient: client)
        } catch {
            await client.close()
            throw error
        }
    }

    /// The last of the instance's users, which no machine has.
    private static func place(_ folder: String, _ instance: InstanceID) -> MemberFolder {
        let number = UInt32(instance.description, radix: 16) ?? 0
        return MemberFolder("\(folder)/etcd", user: 0x6000_0000 + (number % 8192) * 65536 + 65535)
    }

    /// Where the member of a root is reached that was made by its daemon and goes on without it.
    /// Errors: ``ErrorCode/notFound`` where there is none.
    static func address(_ folder: String) throws -> EtcdAddress {
        guard let address = try MemberFolder("\(folder)/etcd", user: 0).address() else {
            throw CoveyError(
                .notFound, "this root has no etcd member of its own yet",
                remedy: "name an etcd that runs: etcd://HOST:PORT")
        }
        return address
    }

    /// Sees to it that the member of a root runs whose daemon does not: it is to be filled.
    static func ensure(_ folder: String, run: String, _ instance: InstanceID) async throws {
        try await withGuard(run, instance) { client in
            _ = try await EtcdMember(place(folder, instance), supervisor: client, pool: BlockingPool()).start()
        }
    }

    /// Ends the member of a root, which leaves its cluster where there are others, and stays stored where it is alone.
    /// Nothing where there is none. Returns what was done, for people.
    static func end(_ folder: String, run: String, _ instance: InstanceID) async throws -> [String] {
        guard fileExists("\(folder)/etcd/member.json") else { return [] }
        return try await withGuard(run, instance) { client in
            try await EtcdMember(place(folder, instance), supervisor: client, pool: BlockingPool()).leave()
        }
    }

    /// Makes the member of a root the only one of its etcd, and lends the store on it that is to get a new lineage.
    ///
    /// - Parameter snapshot: What it begins with; nil is what it has stored itself.
    static func recover(
        _ folder: String, run: String, _ instance: InstanceID, _ settings: OwnEtcdSettings, from snapshot: String?,
        replaces: Bool, faults: FaultPoints, _ renew: (EtcdStore) async throws -> Void
    ) async throws {
        try await withGuard(run, instance) { client in
            let member = EtcdMember(
                place(folder, instance), supervisor: client, pool: BlockingPool(), settings: try settings.member,
                reach: faults.reach)
            let address = try await member.recover(from: snapshot, replaces: replaces)
            let store = try await EtcdStore.open(address)
            do { try await renew(store) } catch {
                await store.close()
                throw error
            }
            await store.close()
            try await member.finishRecovery()
        }
    }

    /// Whether a file is a snapshot of etcd.
    static func isSnapshot(_ path: String) throws -> Bool { try EtcdMember.isSnapshot(path) }

    /// Runs with the root's guard: the one that runs, or else the one beside this program.
    private static func withGuard<T>(
        _ run: String, _ instance: InstanceID, _ body: (GuardClient) async throws -> T
    ) async throws -> T {
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let program = "\(parentFolder(try linkTarget("/proc/self/exe")))/covey-guard"
        let client = try await GuardLauncher(
            program: program, runFolder: run, instance: instance, reactor: reactor
        ).connect()
        let result: T
        do { result = try await body(client) } catch {
            await client.close()
            throw error
        }
        await client.close()
        return result
    }

    /// Keeps it running while the store on it is opened.
    func support<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
        try await member.support(body)
    }

    /// Keeps it running, until it is cancelled.
    func run(_ state: StateStore) async throws {
        try await member.run(state.store) { state.follow($0) }
    }

    /// Lets it go on by itself.
    func close() async { await guardClient.close() }

    /// What is wrong with it.
    func conditions(_ now: Timestamp) -> [Condition] {
        member.troubles.map { trouble in
            let remedy = trouble.error.remedy.map { "; \($0)" } ?? ""
            return Condition(
                type: "Store" + trouble.about.prefix(1).uppercased() + trouble.about.dropFirst(), state: .no,
                reason: trouble.error.code.rawValue, message: trouble.error.description + remedy,
                since: now.advanced(by: .zero - trouble.lasting))
        }
    }
}

/// Keeps the root's own member of etcd. Stopping it leaves the member running.
struct MemberService: Service {
    let member: OwnMember
    let state: StateStore

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                try await member.run(state)
            }
        } catch is CancellationError {
            // That is how it ends.
        }
    }
}

/// What a symbolic link points to.
private func linkTarget(_ path: String) throws(SystemError) -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink(path, &buffer, buffer.count)
    guard count > 0 else { throw SystemError("readlink", path) }
    return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
