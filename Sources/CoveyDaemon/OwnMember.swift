internal import CoveyEtcdStore
internal import CoveyGuardClient
internal import CoveyModel
internal import CoveyStore
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
        _ store: String?, folder: String, instance: InstanceID, guardedBy launcher: GuardLauncher, pool: BlockingPool
    ) async throws -> OwnMember? {
        guard store == StoreRecord.own else { return nil }
        try StoreRecord.load(folder)?.check(store)
        let client = try await launcher.connect()
        let member = EtcdMember(place(folder, instance), supervisor: client, pool: pool)
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

    /// Ends the member of a root, which stays stored. Nothing where there is none.
    static func end(_ folder: String, run: String, _ instance: InstanceID) async throws {
        guard fileExists("\(folder)/etcd/member.json") else { return }
        try await withGuard(run, instance) { try await EtcdMember.end($0) }
    }

    /// Runs with the root's guard: the one that runs, or else the one beside this program.
    private static func withGuard(
        _ run: String, _ instance: InstanceID, _ body: (GuardClient) async throws -> Void
    ) async throws {
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let program = "\(parentFolder(try linkTarget("/proc/self/exe")))/covey-guard"
        let client = try await GuardLauncher(
            program: program, runFolder: run, instance: instance, reactor: reactor
        ).connect()
        do { try await body(client) } catch {
            await client.close()
            throw error
        }
        await client.close()
    }

    /// Keeps it running, until it is cancelled.
    func run(_ store: any Store) async throws { try await member.run(store) }

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
    let store: any Store

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                try await member.run(store)
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
