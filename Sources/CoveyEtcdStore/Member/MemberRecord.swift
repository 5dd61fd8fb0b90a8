internal import CoveyModel

/// What a member of our own was made with and how far it has come, kept beside its data: `member.json`.
package struct MemberRecord: Hashable, Codable, Sendable {
    /// How far a member has come in its cluster. Each step is stored before what it allows is done.
    package enum Phase: String, Codable, Sendable {
        /// It is to be added; the cluster may still know an earlier member at its address.
        case joining
        /// It is being added: a member at its address that never started is itself.
        case adding
        /// It was added, and does not vote.
        case learner
        /// It votes.
        case voting
        /// Its cluster has removed or replaced it; it is not started again.
        case removed
    }

    /// Its name in the cluster.
    package var name: String
    /// The port where clients reach it.
    package var clientPort: Int
    /// The port where other members reach it.
    package var peerPort: Int
    /// Tells this cluster from others.
    package var token: String
    /// Names and peer URLs of all members when it was made, itself among them; empty before it was added.
    package var cluster: String
    /// Whether it joined a cluster that was there.
    package var joins: Bool
    /// The address where others reach it; nil is loopback alone.
    package var host: String?
    /// How far it has come; nil is that it votes.
    package var phase: Phase?
    /// Its id; nil before it was seen.
    package var id: UInt64?
    /// The id of its cluster; nil before it was seen.
    package var clusterID: UInt64?
    /// Where the other members are reached by clients, as `HOST:PORT`; nil is that none was seen.
    package var others: [String]?
    /// The digest of the authorities that it was started with; nil where it never was.
    package var trusted: String?

    /// A member that was not seen yet.
    package init(
        name: String, clientPort: Int, peerPort: Int, token: String, cluster: String, joins: Bool, host: String?
    ) {
        self.name = name
        self.clientPort = clientPort
        self.peerPort = peerPort
        self.token = token
        self.cluster = cluster
        self.joins = joins
        self.host = host
    }

    /// How far it has come.
    package var step: Phase { phase ?? .voting }
    /// Where the other members are reached by clients.
    package var companions: [EtcdEndpoint] {
        (others ?? []).compactMap { text in
            do throws(CoveyError) { return try EtcdAddress("etcd://\(text)").endpoints.first } catch { return nil }
        }
    }
    /// Whether there are others, as far as it is known.
    package var hasOthers: Bool { others.map { !$0.isEmpty } ?? cluster.contains(",") }
    /// Where other members reach it.
    package var peer: String { "https://\(EtcdEndpoint(host: host ?? "127.0.0.1", port: peerPort))" }
    /// Where its own daemon reaches it.
    package var near: EtcdEndpoint { EtcdEndpoint(host: "127.0.0.1", port: clientPort) }
}

/// What the configuration says of a member of our own.
package struct MemberSettings: Hashable, Sendable {
    /// Where clients of other hosts reach it; other members do at the port after it. Nil is loopback alone.
    package var listen: EtcdEndpoint?
    /// Members of the cluster that it joins where it was never made; empty makes one of its own.
    package var join: [EtcdEndpoint]
    /// The folder with the authority that all members share, `ca.pem` and `ca.key`; nil is one of its own.
    package var authority: String?

    /// Says it.
    package init(listen: EtcdEndpoint? = nil, join: [EtcdEndpoint] = [], authority: String? = nil) {
        self.listen = listen
        self.join = join
        self.authority = authority
    }
}
