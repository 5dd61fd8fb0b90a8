internal import CoveyEtcdStore
internal import CoveyModel

/// What a root's own member of etcd is told.
package struct OwnEtcdSettings: Sendable {
    /// Where clients of other hosts reach it; other members do at the next port. Nil is nowhere.
    package var listen: (host: String, port: Int)?
    /// Members that it joins when it is made, `HOST:PORT`; empty makes a cluster of its own.
    package var join: [String]
    /// The folder with the authority that all members share; nil is one of its own.
    package var authority: String?

    /// Says it.
    package init(listen: (host: String, port: Int)? = nil, join: [String] = [], authority: String? = nil) {
        self.listen = listen
        self.join = join
        self.authority = authority
    }

    /// As members take it. Errors: ``ErrorCode/invalid`` for members that are not `HOST:PORT`.
    var member: MemberSettings {
        get throws(CoveyError) {
            MemberSettings(
                listen: listen.map { EtcdEndpoint(host: $0.host, port: $0.port) },
                join: join.isEmpty ? [] : try EtcdAddress("etcd://\(join.joined(separator: ","))").endpoints,
                authority: authority)
        }
    }
}
