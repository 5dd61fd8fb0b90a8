package import CoveyModel
package import CoveyStore
package import CoveySystem
package import CoveyVMM
internal import FoundationEssentials
internal import Synchronization

/// A member of etcd of our own, on loopback: started through the supervisor, so that it outlives the daemon, and kept.
package final class EtcdMember: Sendable {
    /// How often what is done.
    package struct Times: Hashable, Sendable {
        /// Between two looks at certificates, space and alarms.
        package var upkeep = Duration.seconds(60)
        /// Between two snapshots.
        package var snapshot = Duration.seconds(3600)
        /// So many snapshots are kept.
        package var snapshots = 5
        /// The database's bound.
        package var quota = ByteCount.gibibytes(4)

        /// The times for daemons.
        package init() {}
    }

    private struct State {
        var trouble: [String: (error: CoveyError, since: ContinuousClock.Instant)] = [:]
        var record: MemberRecord?
        var begun = ContinuousClock.now
    }

    private static let process = "etcd"
    private let folder: MemberFolder
    private let program: String
    private let supervisor: any ProcessSupervisor
    private let pool: BlockingPool
    private let times: Times
    private let state = Mutex(State())

    /// A member that touches nothing until ``start(joining:)``.
    package init(
        _ folder: MemberFolder, program: String = "/usr/bin/etcd", supervisor: any ProcessSupervisor,
        pool: BlockingPool, times: Times = Times()
    ) {
        self.folder = folder
        self.program = program
        self.supervisor = supervisor
        self.pool = pool
        self.times = times
    }

    /// What is wrong with it, by what it is about, and for how long.
    package var troubles: [(about: String, error: CoveyError, lasting: Duration)] {
        state.withLock { state in
            state.trouble.sorted { $0.key < $1.key }.map { ($0.key, $0.value.error, $0.value.since.duration(to: .now)) }
        }
    }

    /// Makes it where it was never made, and sees to it that it runs; one of an earlier daemon is taken over.
    ///
    /// - Parameter joining: Names and peer URLs of the cluster that it was added to, as `NAME=URL,…`, by the name and
    ///   peer port that it is to have; nil makes a cluster of its own. Nothing where it was made already.
    /// - Returns: Where it is reached.
    /// - Throws: ``ErrorCode/notFound`` where etcd is not installed.
    package func start(joining: (name: String, peerPort: Int, cluster: String, token: String)? = nil) async throws
        -> EtcdAddress
    {
        let folder = folder
        let record = try await pool.run { () throws -> MemberRecord in
            try folder.prepare()
            let record = try folder.load() ?? Self.make(joining)
            try folder.save(record)
            _ = try MemberCertificates(folder).ensure(now: Date())
            return record
        }
        state.withLock { $0.record = record }
        let there = try await supervisor.processes().first { $0.name == Self.process }
        if let there, there.end == nil {
            // It goes on from an earlier daemon.
        } else {
            if there != nil { try await supervisor.forget(Self.process) }
            try await spawn(record)
        }
        return address(record)
    }

    /// Keeps it running, with its snapshots, certificates and space, until it is cancelled. The member goes on.
    ///
    /// - Parameter store: A store on its cluster, by which members agree who is defragmented.
    package func run(_ store: any Store) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.keep() }
            group.addTask { try await self.maintain(store) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private static func make(
        _ joining: (name: String, peerPort: Int, cluster: String, token: String)?
    ) throws -> MemberRecord {
        let words = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }
        let ports = try freeLoopbackPorts(2)
        if let joining {
            return MemberRecord(
                name: joining.name, clientPort: ports[0], peerPort: joining.peerPort, token: joining.token,
                cluster: joining.cluster, joins: true)
        }
        let name = "covey-\(words[0])"
        return MemberRecord(
            name: name, clientPort: ports[0], peerPort: ports[1], token: words[1],
            cluster: "\(name)=https://127.0.0.1:\(ports[1])", joins: false)
    }

    private func address(_ record: MemberRecord) -> EtcdAddress {
        EtcdAddress(
            endpoints: [EtcdEndpoint(host: "127.0.0.1", port: record.clientPort)], tls: folder.tls)
    }

    private func spawn(_ record: MemberRecord) async throws {
        let request = SpawnRequest(
            name: Self.process, arguments: MemberFolder.arguments(record, program: program, quota: times.quota),
            environment: ["PATH": "/usr/bin:/bin"], workingDirectory: folder.path,
            user: folder.user,
            console: ConsoleLog(number: 2, path: "\(folder.path)/etcd.log", limit: .mebibytes(4)),
            isolatesNetwork: false)
        do { _ = try await supervisor.spawn(request) } catch let error as CoveyError where error.code == .notFound {
            throw CoveyError(
                .notFound, "etcd is not installed: there is no \(program)", remedy: "apt-get install etcd-server",
                resource: error.resource)
        }
        state.withLock { $0.begun = .now }
    }

    /// Ends the member that a supervisor has; nothing where there is none.
    package static func end(_ supervisor: any ProcessSupervisor) async throws {
        guard try await supervisor.processes().contains(where: { $0.name == process }) else { return }
        try await supervisor.kill(process)
        _ = try await supervisor.waitForExit(process)
        try await supervisor.forget(process)
    }

    // MARK: Its life

    private func keep() async throws {
        var life = MemberLife()
        while true {
            let seen = try await supervisor.waitForExit(Self.process)
            let end: MemberLife.End =
                switch seen {
                case .known(.exited(let status)): .exited(status)
                case .known(.signalled(let signal)): .signalled(signal)
                case .unknown: .unknown
                }
            let (lifetime, record) = state.withLock { ($0.begun.duration(to: .now), $0.record) }
            let free = folder.free()
            note("member", MemberLife.trouble(end, free: free, place: folder.path))
            let next = life.ended(
                end, after: lifetime, isFollower: record?.hasOthers ?? false, free: free, place: folder.path)
            switch next {
            case .stay(let error):
                note("member", error)
                // Until the daemon ends.
                while true { try await Task.sleep(for: .seconds(3600)) }
            case .restart(let pause):
                // Back-off: one that dies again at once must not keep the host busy.
                try await Task.sleep(for: pause)
                try await revive(record)
            }
        }
    }

    /// Starts it again, however often that takes.
    private func revive(_ record: MemberRecord?) async throws {
        guard let record else { return }
        while true {
            do {
                try await supervisor.forget(Self.process)
                return try await spawn(record)
            } catch let error as CoveyError {
                note("member", error)
                // Nothing tells when what kept it from starting is over.
                try await Task.sleep(for: .seconds(5))
            }
        }
    }

    private func note(_ about: String, _ error: CoveyError?) {
        state.withLock { state in
            guard let error else {
                state.trouble[about] = nil
                return
            }
            state.trouble[about] = (error, state.trouble[about]?.since ?? .now)
        }
    }

    // MARK: Upkeep

    private func maintain(_ store: any Store) async throws {
        guard let record = state.withLock({ $0.record }) else { return }
        let administration = try EtcdAdministration(address(record).endpoints[0], tls: folder.tls)
        defer { administration.close() }
        var taken: ContinuousClock.Instant?
        while true {
            try await attempt("certificates") { [folder, pool] in
                _ = try await pool.run { try MemberCertificates(folder).ensure(now: Date()) }
            }
            try await attempt("space") { try await self.giveBack(administration, store) }
            if taken.map({ $0.duration(to: .now) >= times.snapshot }) ?? true {
                try await attempt("snapshot") { try await self.snapshot(administration) }
                taken = .now
            }
            // A member that answers is well.
            try await attempt("member") { _ = try await administration.status() }
            // A schedule: upkeep comes by time alone.
            try await Task.sleep(for: times.upkeep)
        }
    }

    private func attempt(_ about: String, _ body: @Sendable () async throws -> Void) async throws {
        do {
            try await body()
            note(about, nil)
        } catch let error as CancellationError { throw error } catch {
            if about != "member" { note(about, CoveyError.wrapping(error)) }
        }
    }

    /// One member after the other: the one that leads the election is defragmented.
    private func giveBack(_ administration: EtcdAdministration, _ store: any Store) async throws {
        let status = try await administration.status()
        let isFull = try await administration.hasNoSpace()
        let isSparse = status.size > .mebibytes(64) && status.used.bytes * 2 < status.size.bytes
        guard isFull || isSparse else { return }
        if isFull {
            // Nobody can be elected without space.
            try await store.compact(try await store.currentRevision())
            try await administration.defragment()
            return try await administration.disarm()
        }
        let election = Election(store: store, name: "etcd-defragment", candidate: "\(status.id)", seconds: 30)
        try await election.lead { _ in try await administration.defragment() }
    }

    private func snapshot(_ administration: EtcdAdministration) async throws {
        let stamp = Int64((Date().timeIntervalSince1970 * 1000).rounded(.down))
        try await administration.snapshot(to: "\(folder.snapshots)/\(stamp).db")
        let (place, kept) = (folder.snapshots, times.snapshots)
        try await pool.run { () throws in
            let all = try listFolder(place).filter { $0.hasSuffix(".db") }
            for old in all.dropLast(kept) { try removeFile("\(place)/\(old)") }
        }
    }
}
