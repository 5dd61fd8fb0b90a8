internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import Glibc

/// What a member of our own was made with, kept beside its data: `member.json`.
package struct MemberRecord: Hashable, Codable, Sendable {
    /// Its name in the cluster.
    package var name: String
    /// The port on loopback where clients reach it.
    package var clientPort: Int
    /// The port on loopback where other members reach it.
    package var peerPort: Int
    /// Tells this cluster from others.
    package var token: String
    /// Names and peer URLs of all members when it was made, itself among them.
    package var cluster: String
    /// Whether it joined a cluster that was there.
    package var joins: Bool

    /// Whether there were others when it was made.
    package var hasOthers: Bool { cluster.contains(",") }
}

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
    private var record: String { "\(path)/member.json" }

    /// Makes the folders where they are missing.
    func prepare() throws {
        for folder in [path, "\(path)/pki", "\(path)/data"] {
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
    func load() throws -> MemberRecord? {
        guard fileExists(record) else { return nil }
        do { return try JSONDecoder().decode(MemberRecord.self, from: Data(try readFile(record, limit: 65536))) } catch
        {
            throw CoveyError(
                .corrupt, "\(record) cannot be read: \(error)", remedy: "restore it: without it the member is unknown")
        }
    }

    /// Where the member is reached; nil where it was never made. Errors: ``ErrorCode/corrupt``.
    package func address() throws -> EtcdAddress? {
        try load().map { record in
            EtcdAddress(endpoints: [EtcdEndpoint(host: "127.0.0.1", port: record.clientPort)], tls: tls)
        }
    }

    /// Stores the member's record.
    func save(_ member: MemberRecord) throws {
        try writeFileAtomically(record, Array(try JSONEncoder().encode(member)))
    }

    /// The space that is left on its file system; nil where it cannot be asked.
    func free() -> ByteCount? {
        var facts = statvfs()
        guard statvfs(path, &facts) == 0 else { return nil }
        return ByteCount(Int64(facts.f_bavail) * Int64(facts.f_frsize))
    }

    /// The member's program, arguments first.
    ///
    /// Paths are relative to the folder: the user may not pass the ones above it.
    static func arguments(_ member: MemberRecord, program: String, quota: ByteCount) -> [String] {
        let client = "https://127.0.0.1:\(member.clientPort)"
        let peer = "https://127.0.0.1:\(member.peerPort)"
        return [
            program, "--name", member.name, "--data-dir", "data", "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", member.cluster, "--initial-cluster-state", member.joins ? "existing" : "new",
            "--initial-cluster-token", member.token, "--cert-file", "pki/member.pem", "--key-file", "pki/member.key",
            "--trusted-ca-file", "pki/ca.pem", "--client-cert-auth", "--peer-cert-file", "pki/member.pem",
            "--peer-key-file", "pki/member.key", "--peer-trusted-ca-file", "pki/ca.pem", "--peer-client-cert-auth",
            "--pre-vote", "--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1h",
            "--snapshot-count", "10000", "--quota-backend-bytes", "\(quota.bytes)",
            "--experimental-initial-corrupt-check", "--experimental-watch-progress-notify-interval", "10s",
            "--logger", "zap", "--log-outputs", "stderr", "--log-level", "warn",
        ]
    }
}
