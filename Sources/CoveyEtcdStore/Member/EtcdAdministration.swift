package import CoveyModel
internal import CoveySystem
internal import Crypto
internal import FoundationEssentials
internal import Glibc
internal import Synchronization

/// What is done to the members of an etcd beyond keys: snapshots, defragmentation, members that come and go.
package final class EtcdAdministration: Sendable {
    /// A member as its cluster knows it.
    package struct Member: Hashable, Sendable {
        /// Its id.
        package var id: UInt64
        /// Its name; empty before it has started.
        package var name: String
        /// Where other members reach it.
        package var peers: [String]
        /// Where clients reach it; empty before it has started.
        package var clients: [EtcdEndpoint]
        /// Whether it does not vote yet.
        package var isLearner: Bool

        /// Puts the parts together.
        package init(id: UInt64, name: String, peers: [String], clients: [EtcdEndpoint] = [], isLearner: Bool) {
            self.id = id
            self.name = name
            self.peers = peers
            self.clients = clients
            self.isLearner = isLearner
        }
    }

    /// What a member says of itself.
    package struct Status: Hashable, Sendable {
        /// What its file takes.
        package var size: ByteCount
        /// What of it is used.
        package var used: ByteCount
        /// Its id.
        package var id: UInt64
        /// Its cluster's id.
        package var clusterID: UInt64
        /// Whether it knows a leader.
        package var hasLeader: Bool
        /// Whether it leads.
        package var isLeader: Bool
        /// Whether it does not vote yet.
        package var isLearner: Bool
        /// How far it has applied what was agreed on.
        package var applied: UInt64
    }

    private struct State {
        var credentials: EtcdCredentials?
        var connection: EtcdConnection
    }

    private let patience: Duration
    private let endpoint: EtcdEndpoint
    private let tls: EtcdTLS?
    private let files = BlockingPool("covey-etcd-files")
    private let state: Mutex<State>

    /// Asks one member. Errors: ``ErrorCode/invalid`` for files of TLS.
    ///
    /// - Parameter patience: How long an answer may take.
    package init(_ endpoint: EtcdEndpoint, tls: EtcdTLS?, patience: Duration = .seconds(10)) throws {
        self.endpoint = endpoint
        self.tls = tls
        self.patience = patience
        let credentials = try tls.map { tls throws(CoveyError) in try EtcdCredentials(tls) }
        let connection = try EtcdConnection(endpoint, credentials)
        state = Mutex(State(credentials: credentials, connection: connection))
    }

    /// Ends the connection.
    package func close() { state.withLock { $0.connection }.close() }

    /// The connection, a new one where the files of TLS are others than before.
    private func connection() async throws -> EtcdConnection {
        let credentials: EtcdCredentials?
        if let tls {
            credentials = try await files.run { try EtcdCredentials(tls) }
        } else {
            credentials = nil
        }
        return try state.withLock { state in
            if state.credentials != credentials || !state.connection.isUsable {
                state.connection = try EtcdConnection(endpoint, credentials)
                state.credentials = credentials
            }
            return state.connection
        }
    }

    /// How the member is.
    package func status() async throws -> Status {
        let status = try await call(.status, Etcdserverpb_StatusRequest())
        return Status(
            size: ByteCount(max(0, status.dbSize)), used: ByteCount(max(0, status.dbSizeInUse)),
            id: status.header.memberID, clusterID: status.header.clusterID, hasLeader: status.leader != 0,
            isLeader: status.leader != 0 && status.leader == status.header.memberID, isLearner: status.isLearner,
            applied: status.raftAppliedIndex)
    }

    /// Waits until the member has applied all that was agreed on before, so that what it says is no older.
    /// Errors: ``ErrorCode/unavailable`` where it has no leader, or does not vote.
    package func settle() async throws {
        var request = Etcdserverpb_RangeRequest()
        request.key = Data([0])
        request.countOnly = true
        _ = try await call(.range, request)
    }

    /// Whether a member has the alarm for space.
    package func hasNoSpace() async throws -> Bool {
        try await call(.alarm, Etcdserverpb_AlarmRequest()).alarms.contains { $0.alarm == .nospace }
    }

    /// The ids of members whose data is not that of the others.
    package func corruptMembers() async throws -> [UInt64] {
        try await call(.alarm, Etcdserverpb_AlarmRequest()).alarms.filter { $0.alarm == .corrupt }.map(\.memberID)
    }

    /// Gives unused space of this member back; it answers nothing meanwhile.
    package func defragment() async throws {
        _ = try await call(.defragment, Etcdserverpb_DefragmentRequest(), within: .seconds(300))
    }

    /// Takes the alarm for space back, of all members.
    package func disarm() async throws {
        for alarm in try await call(.alarm, Etcdserverpb_AlarmRequest()).alarms where alarm.alarm == .nospace {
            var request = Etcdserverpb_AlarmRequest()
            request.action = .deactivate
            request.memberID = alarm.memberID
            request.alarm = .nospace
            _ = try await call(.alarm, request)
        }
    }

    // MARK: Members

    /// The members.
    package func members() async throws -> [Member] {
        try await call(.members, Etcdserverpb_MemberListRequest()).members.map { member in
            Member(
                id: member.id, name: member.name, peers: member.peerUrls,
                clients: member.clientUrls.compactMap(Self.endpoint), isLearner: member.isLearner)
        }
    }

    /// Adds a member that does not vote, and so cannot cost the quorum; its id, and the members with it.
    package func addLearner(peer: String) async throws -> (id: UInt64, members: [Member]) {
        var request = Etcdserverpb_MemberAddRequest()
        request.peerUrls = [peer]
        request.isLearner = true
        let added = try await call(.addMember, request)
        return (added.member.id, try await members())
    }

    /// Says at which peer URL a member is reached from now on.
    package func update(_ id: UInt64, peer: String) async throws {
        var request = Etcdserverpb_MemberUpdateRequest()
        request.id = id
        request.peerUrls = [peer]
        _ = try await call(.updateMember, request)
    }

    private static func endpoint(_ url: String) -> EtcdEndpoint? {
        guard let colon = url.firstRange(of: "://") else { return nil }
        do throws(CoveyError) { return try EtcdAddress("etcd://\(url[colon.upperBound...])").endpoints.first } catch {
            return nil
        }
    }

    /// Lets a learner vote. Errors: ``ErrorCode/unavailable`` as long as it lags behind.
    package func promote(_ id: UInt64) async throws {
        var request = Etcdserverpb_MemberPromoteRequest()
        request.id = id
        _ = try await call(.promoteMember, request)
    }

    /// Removes a member; one that is not there is no error. It ends itself.
    package func remove(_ id: UInt64) async throws {
        var request = Etcdserverpb_MemberRemoveRequest()
        request.id = id
        do { _ = try await call(.removeMember, request) } catch let error as CoveyError where error.code == .notFound {}
    }

    /// Has all members sync that nothing is written. Only a write makes them remember, over a loss of power, that what
    /// was agreed on before it was: a member that is left alone would wait for the removed one else.
    package func confirm() async throws {
        var operation = Etcdserverpb_RequestOp()
        operation.requestDeleteRange.key = Data([0])
        var request = Etcdserverpb_TxnRequest()
        request.success = [operation]
        _ = try await call(.transaction, request)
    }

    // MARK: Snapshots

    /// Writes a snapshot to a file, and checks it by its own sum before it gets its name.
    /// Errors: ``ErrorCode/corrupt`` for one that came otherwise than it was sent.
    package func snapshot(to path: String) async throws {
        let partial = "\(path).partial"
        let connection = try await connection()
        try removeFile(partial)
        let target = SnapshotFile(try openFile(partial, [.writeOnly, .create, .exclusive], mode: 0o600))
        do {
            let pool = BlockingPool("covey-snapshot")
            do {
                try await connection.download(.snapshot, Etcdserverpb_SnapshotRequest(), within: .seconds(600)) {
                    part in
                    let bytes = [UInt8](part.blob)
                    try await pool.run { try target.write(bytes) }
                }
            } catch let failure as EtcdFailure { throw Self.told(failure) }
            guard target.isWhole else {
                throw CoveyError(
                    .corrupt, "the snapshot of \(connection.place) does not fit its checksum",
                    remedy: "it is taken again by itself; see the member's disk and memory where that goes on")
            }
            try await pool.run { () throws in
                try target.sync()
                try check("rename", path) { rename(partial, path) }
                try syncFolder(parentFolder(path))
            }
        } catch {
            try removeFile(partial)
            throw error
        }
    }

    /// Whether a snapshot's file is what was once written.
    package static func verify(_ path: String) throws -> Bool {
        var check = SnapshotCheck()
        let file = try openFile(path, .readOnly)
        while let bytes = try readSome(file.raw), !bytes.isEmpty { check.take(bytes) }
        return check.isWhole
    }

    private func call<Request, Response>(
        _ method: EtcdMethod<Request, Response>, _ request: Request, within limit: Duration? = nil
    ) async throws -> Response {
        let connection = try await connection()
        do throws(EtcdFailure) {
            return try await connection.call(method, request, within: limit ?? patience, needsLeader: false)
        } catch {
            throw Self.told(error)
        }
    }

    private static func told(_ failure: EtcdFailure) -> CoveyError {
        switch failure.verdict(.repeatable) {
        case .elsewhere(let error), .final(let error), .outOfRange(let error), .noSpace(let error): error
        }
    }
}

/// A snapshot ends with the SHA-256 of all before it, and has whole blocks before that.
struct SnapshotCheck {
    private var digest = SHA256()
    private var tail: [UInt8] = []
    private var count = 0

    mutating func take(_ bytes: [UInt8]) {
        count += bytes.count
        tail += bytes
        guard tail.count > 32 else { return }
        digest.update(data: tail.dropLast(32))
        tail = Array(tail.suffix(32))
    }

    var isWhole: Bool { count > 32 && count % 512 == 32 && tail.elementsEqual(digest.finalize()) }
}

private final class SnapshotFile: Sendable {
    private let file: FileDescriptor
    private let state = Mutex(SnapshotCheck())

    init(_ file: consuming FileDescriptor) { self.file = file }

    func write(_ bytes: [UInt8]) throws {
        state.withLock { $0.take(bytes) }
        try writeAll(file.raw, bytes)
    }

    func sync() throws { try check("fsync", "a snapshot") { fsync(file.raw) } }
    var isWhole: Bool { state.withLock { $0.isWhole } }
}
