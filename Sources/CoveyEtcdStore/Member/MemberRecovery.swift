internal import CoveyModel
internal import CoveySystem
internal import CoveyVMM
internal import FoundationEssentials
internal import Glibc
internal import Synchronization

/// A recovery of a member that was begun and is not over. `recovery.json` in the member's folder.
struct MemberRecovery: Hashable, Codable, Sendable {
    /// What a recovery begins with.
    enum Source: String, Codable, Sendable {
        /// A snapshot, copied to `recovery.db`.
        case snapshot
        /// What the member itself has stored.
        case survivor
    }

    /// What it begins with.
    var source: Source
    /// The member that there will be.
    var record: MemberRecord
    /// Whether the data is what it will be; what is left is to begin a new lineage.
    var isDone = false

    private static func path(_ folder: MemberFolder) -> String { "\(folder.path)/recovery.json" }

    /// The one that is not over; nil where there is none. Errors: ``ErrorCode/corrupt``.
    static func load(_ folder: MemberFolder) throws -> MemberRecovery? {
        let path = path(folder)
        guard fileExists(path) else { return nil }
        do { return try JSONDecoder().decode(MemberRecovery.self, from: Data(try readFile(path, limit: 65536))) } catch
        {
            throw CoveyError(.corrupt, "\(path) cannot be read: \(error)", remedy: "remove it, and recover again")
        }
    }

    func save(_ folder: MemberFolder) throws {
        try writeFileAtomically(Self.path(folder), Array(try JSONEncoder().encode(self)))
    }

    static func remove(_ folder: MemberFolder) throws {
        for path in [path(folder), "\(folder.path)/recovery.db"] { try removeFile(path) }
        try removeTree("\(folder.path)/recovery.new")
        try syncFolder(folder.path)
    }

    /// Throws ``ErrorCode/conflict`` where a recovery is not over.
    static func check(_ folder: MemberFolder) throws {
        guard let begun = try load(folder) else { return }
        throw CoveyError(
            .conflict, "the recovery of the etcd member in \(folder.path) was not finished",
            remedy: "finish it, with the same command: covey system restore "
                + (begun.source == .survivor ? "--survivor" : "--replace SNAPSHOT"))
    }
}

/// A cluster whose quorum is lost begins anew with one member.
extension EtcdMember {
    /// Whether a file begins as a snapshot of etcd does, whatever comes after.
    package static func isSnapshot(_ path: String) throws -> Bool {
        let file = try openFile(path, .readOnly)
        var head: [UInt8] = []
        while head.count < 20, let bytes = try readSome(file.raw), !bytes.isEmpty { head += bytes }
        // The magic of bbolt's first page, after its header of 16 bytes.
        return head.count >= 20 && head[16..<20].elementsEqual([0xED, 0xDA, 0x0C, 0xED])
    }

    /// Makes the member the only one of its cluster, with what it has stored or a snapshot, and starts it. Can be done
    /// again at any step, and then goes on where it ended. ``finishRecovery()`` is to be called when the store on it
    /// has its new lineage.
    ///
    /// - Parameters:
    ///   - snapshot: The snapshot's file; nil is what the last member has stored.
    ///   - replaces: Whether what the member has stored may be set aside.
    /// - Throws: ``ErrorCode/corrupt`` for a snapshot that does not fit its sum; ``ErrorCode/conflict`` where other
    ///   members answer, or there is state; nothing was changed then.
    package func recover(from snapshot: String?, replaces: Bool) async throws -> EtcdAddress {
        let folder = folder
        let old = try await pool.run { () throws -> MemberRecord? in
            try folder.prepare()
            return try folder.load()
        }
        var recovery: MemberRecovery
        if let begun = try await pool.run({ try MemberRecovery.load(folder) }) {
            recovery = begun
        } else {
            recovery = try await intend(snapshot, replaces, old)
        }
        try reach("recovery.intended")
        if !recovery.isDone {
            try await Self.end(supervisor)
            let record = recovery.record
            _ = try await pool.run { [self] in
                if let authority = settings.authority { try MemberCertificates(folder).adopt(authority) }
                return try certificates(record.host).ensure(now: Date())
            }
            switch recovery.source {
            case .snapshot: try await unpack(record)
            case .survivor: try await standAlone(record)
            }
            recovery.isDone = true
            let done = recovery
            try await pool.run { () throws in
                try folder.save(done.record)
                try done.save(folder)
            }
        }
        try reach("recovery.done")
        state.withLock { $0.record = recovery.record }
        if try await !isRunning() { try await spawn() }
        let own = try EtcdAdministration(recovery.record.near, tls: folder.tls)
        defer { own.close() }
        try await eventually("the etcd member serves") { try await own.settle() }
        let status = try await own.status()
        try await change { record in
            record.id = status.id
            record.clusterID = status.clusterID
        }
        return folder.address(try await stored())
    }

    /// The recovery is over.
    package func finishRecovery() async throws {
        try await pool.run { [folder] in try MemberRecovery.remove(folder) }
    }

    private func intend(_ snapshot: String?, _ replaces: Bool, _ old: MemberRecord?) async throws -> MemberRecovery {
        let folder = folder
        if let old { try await checkAlone(old) }
        let words = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }
        guard let snapshot else {
            guard var record = old, try listed(folder.data) else {
                throw CoveyError(
                    .notFound, "there is no etcd member in \(folder.path) that could have survived",
                    remedy: "restore a snapshot or a backup: covey system restore FILE")
            }
            record.phase = .voting
            record.others = nil
            record.cluster = "\(record.name)=\(record.peer)"
            let recovery = MemberRecovery(source: .survivor, record: record)
            try await pool.run { try recovery.save(folder) }
            return recovery
        }
        guard try await pool.run({ try EtcdAdministration.verify(snapshot) }) else {
            throw CoveyError(
                .corrupt, "\(snapshot) does not fit its checksum: it was cut or changed",
                remedy: "take another one: ls \(folder.snapshots)")
        }
        guard try replaces || !listed(folder.data) else {
            throw CoveyError(
                .conflict, "the etcd member in \(folder.path) has state already",
                remedy: "give --replace to set it aside")
        }
        let ports =
            try (settings.listen.map { [$0.port, $0.port + 1] })
            ?? old.map { [$0.clientPort, $0.peerPort] } ?? freeLoopbackPorts(2)
        var record = MemberRecord(
            name: "covey-\(words[0])", clientPort: ports[0], peerPort: ports[1], token: words[1], cluster: "",
            joins: false, host: settings.listen?.host ?? old?.host)
        record.cluster = "\(record.name)=\(record.peer)"
        let recovery = MemberRecovery(source: .snapshot, record: record)
        try await pool.run { () throws in
            let target = "\(folder.path)/recovery.db"
            try copy(snapshot, to: target)
            // Another file may have come in its place since it was checked.
            guard try EtcdAdministration.verify(target) else {
                throw CoveyError(.corrupt, "\(snapshot) changed while it was read", remedy: "try again")
            }
            try folder.give(target)
            try recovery.save(folder)
        }
        return recovery
    }

    private func listed(_ folder: String) throws -> Bool { try fileExists(folder) && !listFolder(folder).isEmpty }

    /// Throws where another member answers: two clusters would go on with one state.
    private func checkAlone(_ record: MemberRecord) async throws {
        for endpoint in record.companions where endpoint != record.near {
            let other = try EtcdAdministration(endpoint, tls: folder.tls, patience: .seconds(3))
            defer { other.close() }
            do { _ = try await other.status() } catch is CoveyError { continue }
            throw CoveyError(
                .conflict, "the etcd member at \(endpoint) answers: the cluster is not lost",
                remedy: "start the other members; or stop them all, for good, if this one is to go on without them")
        }
    }

    /// Makes data of a snapshot, by etcd's own tool; what was there is kept aside.
    private func unpack(_ record: MemberRecord) async throws {
        let folder = folder
        let source = "\(folder.path)/recovery.db"
        let new = "\(folder.path)/recovery.new"
        let tools = ["/usr/bin/etcdutl", "/usr/bin/etcdctl"]
        guard let tool = tools.first(where: { fileExists($0) }) else {
            throw CoveyError(
                .notFound, "etcd's tool is not installed: there is no \(tools.joined(separator: " and no "))",
                remedy: "apt-get install etcd-client, and give the same command again")
        }
        try await pool.run { try removeTree(new) }
        guard fileExists(source) else { throw CoveyError(.notFound, "there is no \(source)", remedy: "recover again") }
        let name = "etcd-recovery"
        try await supervisor.forget(name)
        _ = try await supervisor.spawn(
            SpawnRequest(
                name: name,
                arguments: [
                    tool, "snapshot", "restore", "recovery.db", "--data-dir", "recovery.new", "--name", record.name,
                    "--initial-cluster", record.cluster, "--initial-cluster-token", record.token,
                    "--initial-advertise-peer-urls", record.peer,
                ], environment: ["PATH": "/usr/bin:/bin", "ETCDCTL_API": "3"], workingDirectory: folder.path,
                user: folder.user,
                console: ConsoleLog(number: 2, path: "\(folder.path)/recovery.log", limit: .mebibytes(1))))
        let end = try await withDeadline(.seconds(600), "the unpacking of a snapshot") { [supervisor] in
            try await supervisor.waitForExit(name)
        }
        try await supervisor.forget(name)
        guard end == .known(.exited(0)) else {
            throw CoveyError(
                .failure, "\(tool) did not restore the snapshot", remedy: "see \(folder.path)/recovery.log")
        }
        try await pool.run { () throws in
            _ = try folder.setDataAside()
            try removeTree(folder.data)
            try rename(new, to: folder.data)
            try syncFolder(folder.path)
        }
    }

    /// Lets the member forget all others, once.
    private func standAlone(_ record: MemberRecord) async throws {
        state.withLock { $0.record = record }
        try await spawn(alone: true)
        let own = try EtcdAdministration(record.near, tls: folder.tls)
        defer { own.close() }
        try await eventually("the etcd member serves alone") {
            try await own.settle()
            guard try await own.members().count == 1 else {
                throw CoveyError(.unavailable, "the etcd member has others still")
            }
        }
        try await stop()
    }
}

private func rename(_ old: String, to new: String) throws {
    try check("rename", new) { Glibc.rename(old, new) }
}

/// Copies a file's bytes.
private func copy(_ source: String, to target: String) throws {
    try removeFile(target)
    let from = try openFile(source, .readOnly)
    let to = try openFile(target, [.writeOnly, .create, .exclusive], mode: 0o600)
    while let bytes = try readSome(from.raw), !bytes.isEmpty { try writeAll(to.raw, bytes) }
    try check("fsync", target) { fsync(to.raw) }
}
