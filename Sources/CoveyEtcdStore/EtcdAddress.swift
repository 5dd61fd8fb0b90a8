package import CoveyModel

/// One member of an etcd cluster, as clients reach it.
package struct EtcdEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    package var host: String
    /// The client port.
    package var port: Int

    /// Puts the parts together.
    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// `10.0.0.1:2379`, `[::1]:2379`.
    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// The files that a connection with TLS needs, all PEM.
package struct EtcdTLS: Hashable, Sendable {
    /// The authorities that sign the members' certificates; nil is the system's.
    package var authorities: String?
    /// Our own certificate with its chain; nil shows none.
    package var certificate: String?
    /// The key of our own certificate.
    package var key: String?

    /// Names the files.
    package init(authorities: String? = nil, certificate: String? = nil, key: String? = nil) {
        self.authorities = authorities
        self.certificate = certificate
        self.key = key
    }
}

/// Where a store on etcd lies: `etcd://HOST:PORT,HOST:PORT/PREFIX?ca=FILE&cert=FILE&key=FILE`.
///
/// Without a prefix it is `covey`. With `ca`, `cert` or `tls=yes` the connections have TLS.
package struct EtcdAddress: Hashable, Sendable, CustomStringConvertible {
    /// The members that are asked, in the order given; never empty.
    package var endpoints: [EtcdEndpoint]
    /// What all keys begin with, so that several stores share one etcd; never empty, without `/` at its ends.
    package var prefix: String
    /// How connections are secured; nil is not at all.
    package var tls: EtcdTLS?

    static let prefixLimit = 128
    private static let form = "etcd://HOST:PORT,HOST:PORT/PREFIX?ca=FILE&cert=FILE&key=FILE"

    /// Puts the parts together.
    package init(endpoints: [EtcdEndpoint], prefix: String = "covey", tls: EtcdTLS? = nil) {
        self.endpoints = endpoints
        self.prefix = prefix
        self.tls = tls
    }

    /// Reads an address. Errors: ``ErrorCode/invalid``, saying what is wrong with it.
    package init(_ text: String) throws(CoveyError) {
        guard text.hasPrefix("etcd://") else { throw Self.refusal(text, "does not begin with etcd://") }
        let rest = text.dropFirst("etcd://".count)
        let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let place = parts[0].split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        var endpoints: [EtcdEndpoint] = []
        for member in place[0].split(separator: ",", omittingEmptySubsequences: false) {
            guard let endpoint = Self.endpoint(member) else {
                throw Self.refusal(text, "has a member that is not HOST:PORT: \"\(member)\"")
            }
            guard !endpoints.contains(endpoint) else { throw Self.refusal(text, "names \(endpoint) twice") }
            endpoints.append(endpoint)
        }
        var prefix = place.count > 1 ? String(place[1]) : ""
        while prefix.hasSuffix("/") { prefix.removeLast() }
        if prefix.isEmpty { prefix = "covey" }
        let allowed = prefix.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "._-/".utf8.contains(byte)
        }
        guard allowed, !prefix.hasPrefix("/"), prefix.utf8.count <= Self.prefixLimit else {
            throw Self.refusal(text, "has a prefix of other than \(Self.prefixLimit) letters, digits and ._-/")
        }
        self.endpoints = endpoints
        self.prefix = prefix
        tls = try Self.tls(parts.count > 1 ? String(parts[1]) : "", text)
    }

    /// What people are told: the members and the prefix, without files.
    package var description: String {
        "etcd://\(endpoints.map(\.description).joined(separator: ","))/\(prefix)"
    }

    private static func endpoint(_ text: Substring) -> EtcdEndpoint? {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (1...65535).contains(port)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { return nil }
            host = host.dropFirst().dropLast()
            guard host.contains(":"), host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else { return nil }
        } else if host.contains(where: { !($0.isASCII && ($0.isLetter || $0.isNumber)) && !"._-".contains($0) }) {
            return nil
        }
        return host.isEmpty ? nil : EtcdEndpoint(host: String(host), port: port)
    }

    private static func tls(_ query: String, _ text: String) throws(CoveyError) -> EtcdTLS? {
        var files: [String: String] = [:]
        var wanted = false
        for item in query.split(separator: "&") {
            let pair = item.split(separator: "=", maxSplits: 1).map(String.init)
            guard pair.count == 2 else { throw refusal(text, "has an option without a value: \"\(item)\"") }
            switch pair[0] {
            case "ca", "cert", "key":
                guard pair[1].hasPrefix("/") else { throw refusal(text, "has \(pair[0]) with no absolute path") }
                guard files.updateValue(pair[1], forKey: pair[0]) == nil else {
                    throw refusal(text, "has \(pair[0]) twice")
                }
            case "tls":
                guard pair[1] == "yes" else { throw refusal(text, "has tls other than yes") }
                wanted = true
            case _: throw refusal(text, "has an option that is none of ca, cert, key and tls: \"\(pair[0])\"")
            }
        }
        guard (files["cert"] == nil) == (files["key"] == nil) else {
            throw refusal(text, "has only one of cert and key")
        }
        guard wanted || !files.isEmpty else { return nil }
        return EtcdTLS(authorities: files["ca"], certificate: files["cert"], key: files["key"])
    }

    private static func refusal(_ text: String, _ why: String) -> CoveyError {
        CoveyError(.invalid, "the store \"\(text)\" \(why)", remedy: "write it as \(form)")
    }
}

/// How long a store on etcd waits for what.
package struct EtcdTimes: Hashable, Sendable {
    /// For one member's answer to a read, before another one is asked.
    package var read = Duration.seconds(4)
    /// For the answer to a write; then its outcome is unknown. Below etcd's own 7 s.
    package var write = Duration.seconds(6)
    /// For all attempts of one call together.
    package var call = Duration.seconds(12)
    /// After so long without a word on a watch the member is asked for a sign.
    package var silence = Duration.seconds(15)
    /// After so long without that sign the watch goes on elsewhere.
    package var sign = Duration.seconds(10)
    /// After so long, less up to a third by chance, a watch asks its reader to list again, since old servers may
    /// lose events; nil is never.
    package var relist: Duration? = .seconds(600)
    /// Between two looks at the members.
    package var look = Duration.seconds(15)

    /// The times for common networks.
    package init() {}
}
