internal import CoveyModel
internal import FoundationEssentials

/// Where a URL leads: credentials go there and nowhere else.
struct HTTPOrigin: Hashable, Sendable, CustomStringConvertible {
    let scheme: String
    let host: String
    let port: Int

    /// The origin of a URL; nil where it is not of http or https.
    init?(_ url: URL) {
        guard let scheme = url.scheme?.lowercased(), scheme == "http" || scheme == "https",
            let host = url.host(percentEncoded: false)?.lowercased(), !host.isEmpty
        else { return nil }
        self.scheme = scheme
        self.host = host
        port = url.port ?? (scheme == "https" ? 443 : 80)
    }

    var description: String { "\(scheme)://\(host):\(port)" }
}

/// Which redirects are followed. A value without I/O.
struct RedirectRule: Sendable {
    private(set) var left: Int

    init(limit: Int) { left = limit }

    /// The URL that an answer leads on to.
    ///
    /// Errors: ``ErrorCode/failure`` for one too many, one that cannot be read, and one that leaves TLS.
    mutating func next(from url: URL, location: String?) throws(CoveyError) -> URL {
        guard left > 0 else {
            throw CoveyError(
                .failure, "\(url.text) redirects without end", remedy: "check the registry's address, or its mirror's",
                retryable: false)
        }
        left -= 1
        guard let location, location.utf8.count <= 16384,
            let target = URL(string: location, relativeTo: url)?.absoluteURL, let origin = HTTPOrigin(target)
        else {
            throw CoveyError(.failure, "\(url.text) redirects to no address of http or https", retryable: false)
        }
        guard !(url.scheme == "https" && origin.scheme == "http") else {
            throw CoveyError(
                .failure, "\(url.text) redirects from TLS to plain http at \(origin.host)",
                remedy: "tell the one who runs the registry: nothing is sent there without TLS", retryable: false)
        }
        return target
    }
}

extension URL {
    /// Scheme, host and path: what follows may hold a signature.
    var text: String {
        guard let origin = HTTPOrigin(self) else { return "an address" }
        let standard = origin.scheme == "https" ? 443 : 80
        return "\(origin.scheme)://\(origin.host)\(origin.port == standard ? "" : ":\(origin.port)")\(path())"
    }
}
