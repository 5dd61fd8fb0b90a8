package import CoveyModel
package import CoveyStore
package import CoveySystem
package import CoveyVMM
internal import FoundationEssentials
internal import Synchronization

/// A member of etcd of our own: started through the supervisor, so that it outlives the daemon, and kept. It has a
/// cluster of its own, or joins one that is there.
package final class EtcdMember: Sendable {
    /// How often what is done.
    package struct Times: Hashable, Sendable {
        /// Between two looks at certificates, space, alarms and members.
        package var upkeep = Duration.seconds(15)
        /// Between two snapshots.
        package var snapshot = Duration.seconds(3600)
        /// So many snapshots are kept.
        package var snapshots = 5
        /// The database's bound.
        package var quota = ByteCount.gibibytes(4)
        /// Between two steps of a join, and two looks at a member that starts.
        package var step = Duration.seconds(1)
        /// Before it is started again after a first early end; then ever longer.
        package var pause = Duration.seconds(1)
        /// A learner that stands still for so long is removed.
        package var stall = Duration.seconds(300)
        /// How long certificates of members and clients last.
        package var certificates = Duration.seconds(Int(MemberCertificates.life))

        /// The times for daemons.
        package init() {}
    }

    struct State {
        var trouble: [String: (error: CoveyError, since: ContinuousClock.Instant)] = [:]
        var record: MemberRecord?
        var begun = ContinuousClock.now
        var served = false
        /// Whether nothing works without it.
        var isOpening = false
        /// What times of a join are counted from.
        let joined = ContinuousClock.now
    }

    static let process = "etcd"
    let folder: MemberFolder
    let program: String
    let supervisor: any ProcessSupervisor
    let pool: BlockingPool
    let times: Times
    let settings: MemberSettings
    /// Called between two steps of a join; throws to stop there.
    let reach: @Sendable (String) throws -> Void
    let state = Mutex(State())

    /// A member that touches nothing until ``start()``.
    ///
    /// - Parameter reach: Called with the name of each step of a join once it is done; throws to stop there.
    package init(
        _ folder: MemberFolder, program: String = "/usr/bin/etcd", supervisor: any ProcessSupervisor,
        pool: BlockingPool, settings: MemberSettings = MemberSettings(), times: Times = Times(),
        reach: @escaping @Sendable (String) throws -> Void = { _ in }
    ) {
        self.folder = folder
        self.program = program
        self.supervisor = supervisor
        self.pool = pool
        self.settings = settings
        self.times = times
        self.reach = reach
    }

    /// What is wrong with it, by what it is about, and for how long.
    package var troubles: [(about: String, error: CoveyError, lasting: Duration)] {
        state.withLock { state in
            state.trouble.sorted { $0.key < $1.key }.map { ($0.key, $0.value.error, $0.value.since.duration(to: .now)) }
        }
    }

    /// How far it has come in its cluster.
    package var phase: MemberRecord.Phase { state.withLock { $0.record?.step ?? .voting } }

    /// Makes it where it was never made, and sees to it that it runs where it votes; one of an earlier daemon is taken
    /// over. One that joins does so while ``run(_:learned:)`` runs.
    ///
    /// - Returns: Where the state is reached: at the member where it votes, and at the others.
    /// - Throws: ``ErrorCode/notFound`` where etcd is not installed, or there is no authority for a join.
    package func start() async throws -> EtcdAddress {
        let (folder, settings) = (folder, settings)
        try await pool.run { () throws in
            try MemberRecovery.check(folder)
            try folder.prepare()
            if let authority = settings.authority { try MemberCertificates(folder).adopt(authority) }
        }
        let record = try await pool.run { try folder.load() ?? Self.make(settings, folder) }
        try await keep(record)
        try await pool.run { [self] in _ = try certificates(record.host).ensure(now: Date()) }
        guard record.step == .voting else {
            if record.step == .removed { note("member", MemberLife.removal(folder.path)) }
            return folder.address(record)
        }
        if try await isRunning() {
            // It goes on from an earlier daemon.
        } else if let error = try await outdated(record) {
            try await change { $0.phase = .removed }
            note("member", error)
            return folder.address(try await stored())
        } else {
            try await spawn()
        }
        try await relocate()
        return folder.address(try await stored())
    }

    /// Keeps it running, with its snapshots, certificates and space, until it is cancelled. The member goes on.
    ///
    /// - Parameters:
    ///   - store: A store on its cluster, by which members agree who is defragmented.
    ///   - learned: Called with all members that can be asked, as they come and go.
    package func run(
        _ store: any Store, learned: @escaping @Sendable ([EtcdEndpoint]) -> Void = { _ in }
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.live(learned) }
            group.addTask { try await self.maintain(store, learned) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Keeps it running while something is done that needs it, as opening the store on it.
    ///
    /// - Throws: What `body` throws; what is wrong with the member where it is given up meanwhile.
    package func support<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
        state.withLock { $0.isOpening = true }
        defer { state.withLock { $0.isOpening = false } }
        do {
            return try await withThrowingTaskGroup(of: T?.self) { group in
                group.addTask {
                    try await self.live { _ in }
                    return nil
                }
                group.addTask { try await body() }
                defer { group.cancelAll() }
                while let done = try await group.next() {
                    if let done { return done }
                }
                throw CancellationError()
            }
        } catch let given as MemberGivenUp { throw given.error }
    }

    private static func make(_ settings: MemberSettings, _ folder: MemberFolder) throws -> MemberRecord {
        let words = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }
        let ports = try settings.listen.map { [$0.port, $0.port + 1] } ?? freeLoopbackPorts(2)
        var record = MemberRecord(
            name: "covey-\(words[0])", clientPort: ports[0], peerPort: ports[1], token: words[1], cluster: "",
            joins: !settings.join.isEmpty, host: settings.listen?.host)
        guard record.joins else {
            record.cluster = "\(record.name)=\(record.peer)"
            return record
        }
        guard record.host != nil else {
            throw CoveyError(
                .invalid, "a member that joins others must be reached by them",
                remedy: "set etcd.listen to an address of this host, ADDRESS:PORT")
        }
        guard settings.authority != nil || fileExists("\(folder.path)/pki/ca.key") else {
            throw CoveyError(
                .invalid, "a member that joins others needs their authority",
                remedy: "copy ca.pem and ca.key of a member's state/etcd/pki into a folder of mode 0700, and set "
                    + "etcd.authority to it")
        }
        record.phase = .joining
        record.others = settings.join.map(\.description)
        return record
    }

    // MARK: Record

    func stored() async throws -> MemberRecord {
        guard let record = state.withLock({ $0.record }) else {
            throw CoveyError(.internalError, "the etcd member was not started")
        }
        return record
    }

    func keep(_ record: MemberRecord) async throws {
        let folder = folder
        do { try await pool.run { try folder.save(record) } } catch { throw CoveyError.wrapping(error) }
        state.withLock { $0.record = record }
    }

    func change(_ body: (inout MemberRecord) -> Void) async throws {
        let old = try await stored()
        var record = old
        body(&record)
        if record != old { try await keep(record) }
    }

    func certificates(_ host: String?) -> MemberCertificates {
        MemberCertificates(folder, host: host, life: TimeInterval(times.certificates.components.seconds))
    }

    func note(_ about: String, _ error: CoveyError?) {
        state.withLock { state in
            guard let error else {
                state.trouble[about] = nil
                return
            }
            state.trouble[about] = (error, state.trouble[about]?.since ?? .now)
        }
    }

    // MARK: Process

    func isRunning() async throws -> Bool {
        try await supervisor.processes().contains { $0.name == Self.process && $0.end == nil }
    }

    /// Starts it with what it has; one that has ended is forgotten before.
    func spawn(alone: Bool = false) async throws {
        try await supervisor.forget(Self.process)
        let trusted = try await pool.run { [self] in try certificates(nil).trusted() }
        try await change { $0.trusted = trusted }
        let record = try await stored()
        let request = SpawnRequest(
            name: Self.process,
            arguments: MemberFolder.arguments(record, program: program, quota: times.quota, alone: alone),
            environment: ["PATH": "/usr/bin:/bin"], workingDirectory: folder.path,
            user: folder.user,
            console: ConsoleLog(number: 2, path: "\(folder.path)/etcd.log", limit: .mebibytes(4)),
            isolatesNetwork: false)
        state.withLock { state in
            state.begun = .now
            state.served = false
        }
        do { _ = try await supervisor.spawn(request) } catch let error as CoveyError where error.code == .notFound {
            throw CoveyError(
                .notFound, "etcd is not installed: there is no \(program)", remedy: "apt-get install etcd-server",
                resource: error.resource)
        }
    }

    /// Ends it as its operator would, or with force after a while, and forgets it; nothing where there is none.
    func stop() async throws {
        guard try await supervisor.processes().contains(where: { $0.name == Self.process }) else { return }
        try await supervisor.signal(Self.process, 15)
        do {
            _ = try await withDeadline(.seconds(10), "the end of the etcd member") { [supervisor] in
                try await supervisor.waitForExit(Self.process)
            }
        } catch let error as CoveyError where error.code == .deadline {}
        try await Self.end(supervisor)
    }

    /// Ends the member that a supervisor has; nothing where there is none.
    package static func end(_ supervisor: any ProcessSupervisor) async throws {
        guard try await supervisor.processes().contains(where: { $0.name == process }) else { return }
        try await supervisor.kill(process)
        _ = try await supervisor.waitForExit(process)
        try await supervisor.forget(process)
    }

    /// Moves it to the address that the configuration says. A member alone may go anywhere; the others learn of it.
    private func relocate() async throws {
        let record = try await stored()
        guard let listen = settings.listen, listen.host != record.host || listen.port != record.clientPort else {
            return
        }
        let own = try EtcdAdministration(record.near, tls: folder.tls)
        defer { own.close() }
        var moved = record
        moved.host = listen.host
        moved.clientPort = listen.port
        moved.peerPort = listen.port + 1
        try await eventually("the etcd member answers") { try await own.settle() }
        try await own.update(try await own.status().id, peer: moved.peer)
        try await pool.run { [self] in _ = try certificates(listen.host).ensure(now: Date()) }
        try await stop()
        try await keep(moved)
        try await spawn()
    }

    /// Waits until something is done without a failure, at most half a minute.
    func eventually(_ what: String, _ body: @Sendable () async throws -> Void) async throws {
        let end = ContinuousClock.now + .seconds(30)
        while true {
            do { return try await body() } catch let error as CoveyError where ContinuousClock.now < end {
                if error.code != .unavailable { throw error }
            }
            // Nothing tells when a member that starts will answer.
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}

/// A member that nothing works without is not started again.
struct MemberGivenUp: Error {
    var error: CoveyError
}
