internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import Glibc

/// The folder of a member of our own: data, certificates, snapshots, its log. Nobody but its user and root enters it.
package struct MemberFolder: Hashable, Sendable {
    /// The folder.
    package let path: String
    /// The user that the member runs as.
    package let user: UInt32

    /// A folder that may not be there yet.
    package init(_ path: String, user: UInt32) {
        self.path = path
        self.user = user
    }

    /// Where snapshots are kept: root's alone.
    package var snapshots: String { "\(path).snapshots" }
    /// What clients need.
    package var tls: EtcdTLS {
        EtcdTLS(authorities: "\(path)/pki/ca.pem", certificate: "\(path)/pki/client.pem", key: "\(path)/pki/client.key")
    }
    /// What the member has stored.
    var data: String { "\(path)/data" }
    private var record: String { "\(path)/member.json" }

    /// Makes the folders where they are missing.
    func prepare() throws {
        for folder in [path, "\(path)/pki", data] {
            try makeFolder(folder, mode: 0o700)
            try give(folder)
        }
        try makeFolder(snapshots, mode: 0o700)
    }

    /// Gives a path to the member's user.
    func give(_ path: String) throws {
        try check("lchown", path) { lchown(path, user, user) }
    }

    /// The member's record; nil before it was made. Errors: ``ErrorCode/corrupt``.
    package func load() throws -> MemberRecord? {
        guard fileExists(record) else { return nil }
        do { return try JSONDecoder().decode(MemberRecord.self, from: Data(try readFile(record, limit: 65536))) } catch
        {
            throw CoveyError(
                .corrupt, "\(record) cannot be read: \(error)", remedy: "restore it: without it the member is unknown")
        }
    }

    /// Where the state is reached: at the member where it votes, and at those that it knows; nil where it was never
    /// made. Errors: ``ErrorCode/corrupt``.
    package func address() throws -> EtcdAddress? {
        try load().map { address($0) }
    }

    func address(_ record: MemberRecord) -> EtcdAddress {
        let own = record.step == .voting ? [record.near] : []
        let others = record.companions.filter { $0 != record.near }
        let known = own + others
        return EtcdAddress(endpoints: known.isEmpty ? [record.near] : known, tls: tls)
    }

    /// Stores the member's record.
    func save(_ member: MemberRecord) throws {
        try writeFileAtomically(record, Array(try JSONEncoder().encode(member)))
    }

    /// Keeps what the member has stored under another name, and makes room for a new start. Returns where it is kept;
    /// nil where there was nothing.
    func setDataAside() throws -> String? {
        guard fileExists(data), try !listFolder(data).isEmpty else { return nil }
        let kept = try moveAside(data)
        try makeFolder(data, mode: 0o700)
        try give(data)
        try syncFolder(path)
        return kept
    }

    /// What the file system below the folder does with a write, tried out.
    func probe() -> MemberDisk {
        var facts = statvfs()
        if statvfs(path, &facts) == 0 {
            let free = ByteCount(Int64(facts.f_bavail) * Int64(facts.f_frsize))
            if free < MemberLife.leastSpace { return .full }
        }
        do throws(SystemError) {
            try writeFileAtomically("\(path)/probe", Array(repeating: 1, count: 4096))
            try removeFile("\(path)/probe")
            return .sound
        } catch {
            return error.errno == ENOSPC || error.errno == EDQUOT ? .full : .failing(error.description)
        }
    }

    /// The member's program, arguments first.
    ///
    /// Paths are relative to the folder: the user may not pass the ones above it.
    ///
    /// - Parameter alone: Whether it goes on without the members that it knows of, once.
    static func arguments(
        _ member: MemberRecord, program: String, quota: ByteCount, alone: Bool = false
    ) -> [String] {
        let near = "https://\(member.near)"
        let client = member.host.map { "https://\(EtcdEndpoint(host: $0, port: member.clientPort))" } ?? near
        return [
            program, "--name", member.name, "--data-dir", "data", "--listen-client-urls",
            client == near ? near : "\(near),\(client)", "--advertise-client-urls", client, "--listen-peer-urls",
            member.peer, "--initial-advertise-peer-urls", member.peer,
            "--initial-cluster", member.cluster, "--initial-cluster-state", member.joins ? "existing" : "new",
            "--initial-cluster-token", member.token, "--cert-file", "pki/member.pem", "--key-file", "pki/member.key",
            "--trusted-ca-file", "pki/ca.pem", "--client-cert-auth", "--peer-cert-file", "pki/member.pem",
            "--peer-key-file", "pki/member.key", "--peer-trusted-ca-file", "pki/ca.pem", "--peer-client-cert-auth",
            // A host may send from another of its addresses than the one that it listens on.
            "--experimental-peer-skip-client-san-verification",
            "--pre-vote", "--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1h",
            "--snapshot-count", "10000", "--quota-backend-bytes", "\(quota.bytes)",
            "--experimental-initial-corrupt-check", "--experimental-watch-progress-notify-interval", "10s",
            "--logger", "zap", "--log-outputs", "stderr", "--log-level", "warn",
        ] + (alone ? ["--force-new-cluster"] : [])
    }
}

/// What a file system does with a write.
package enum MemberDisk: Hashable, Sendable {
    /// It takes it.
    case sound
    /// There is no room.
    case full
    /// It fails, and how.
    case failing(String)
}
