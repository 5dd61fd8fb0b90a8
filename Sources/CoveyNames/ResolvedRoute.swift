package import CoveyModel
package import CoveySystem

/// The host's way to names of machines: systemd-resolved sends what is below `vm` to our listener.
///
/// A file of ours tells it, named after the instance; no other file is touched, and removing it undoes all.
/// From version 258 on that is a delegate, which concerns `vm` alone. Before, there are only the global servers, which
/// resolved asks for other names as well and takes for equals: such a file is written only where links have servers of their own
/// and nobody else has named global ones. Our listener refuses all other names, and resolved takes the links' answers.
///
/// Source: systemd.dns-delegate(5), resolved.conf(5), systemd-resolved.service(8) "Protocols and routing".
package struct ResolvedRoute: Sendable {
    /// How it stands.
    package enum Status: Hashable, Sendable {
        /// systemd-resolved does not run here.
        case notRunning
        /// It runs, and nothing of ours is there.
        case absent
        /// It was told.
        case installed
        /// It was told of another listener: ``ResolvedRoute/install()`` puts it right.
        case stale
        /// It cannot be told without harm; the reason, one sentence.
        case refused(String)
    }

    /// The first version with delegates.
    private static let firstWithDelegates = 258

    private let endpoint: SocketEndpoint
    private let instance: InstanceID
    private let root: String
    private let version: Int?
    private let reload: @Sendable () async throws -> Void

    /// A route to a listener.
    ///
    /// - Parameters:
    ///   - endpoint: where our listener is.
    ///   - instance: whose file it is.
    ///   - root: what stands before every path; tests give a folder.
    ///   - version: systemd's; nil is not known, and old.
    ///   - reload: has resolved read its files: `systemctl reload-or-restart systemd-resolved`.
    package init(
        to endpoint: SocketEndpoint, instance: InstanceID, root: String = "", version: Int?,
        reload: @escaping @Sendable () async throws -> Void
    ) {
        self.endpoint = endpoint
        self.instance = instance
        self.root = root
        self.version = version
        self.reload = reload
    }

    /// Reads `systemd 252 (252.39-1~deb12u1)`, the first line of `systemctl --version`. Nil for anything else.
    package static func version(in text: String) -> Int? {
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count >= 2, words[0] == "systemd" else { return nil }
        return Int(words[1].prefix { $0.isNumber })
    }

    /// How it stands. Reads files.
    package func status() -> Status {
        guard fileExists("\(root)/run/systemd/resolve") else { return .notRunning }
        if let written = try? readText(path) { return written == text ? .installed : .stale }
        return obstacle.map { .refused($0) } ?? .absent
    }

    /// Tells resolved; where it was told already, nothing happens. Errors: ``ErrorCode/unsupported`` where it does not run, or
    /// cannot be told without harm.
    package func install() async throws {
        switch status() {
        case .installed: return
        case .notRunning:
            throw CoveyError(.unsupported, "systemd-resolved does not run on this host", remedy: otherwise)
        case .refused(let reason):
            throw CoveyError(
                .unsupported, "systemd-resolved cannot route names of machines: \(reason)", remedy: otherwise)
        case .absent, .stale: break
        }
        try makeFolder(parentFolder(path), mode: 0o755)
        try writeFileAtomically(path, Array(text.utf8), mode: 0o644)
        do {
            try await reload()
        } catch {
            // What resolved has not read must not come as a surprise at its next start.
            try removeFile(path)
            throw CoveyError.wrapping(error, "systemd-resolved did not read \(path)")
        }
    }

    /// Takes it back, both forms; what is not there is no error.
    package func remove() async throws {
        var any = false
        for path in [delegatePath, dropInPath] where fileExists(path) {
            try removeFile(path)
            any = true
        }
        // Without resolved nothing has to be read again.
        if any, fileExists("\(root)/run/systemd/resolve") { try await reload() }
    }

    /// What a user can do where resolved is not to be told, for `covey doctor`.
    package var otherwise: String {
        let (address, port) = (endpoint.address.description, endpoint.port)
        return """
            ask our listener for names below vm: dnsmasq has the line "server=/vm/\(address)#\(port)" (below \
            /etc/dnsmasq.d, or /etc/NetworkManager/dnsmasq.d where NetworkManager runs it), unbound a stub-zone "vm" with \
            stub-addr \(address)@\(port), and do-not-query-localhost off; a plain /etc/resolv.conf knows no routes: \
            install systemd-resolved or dnsmasq, or ask by hand: dig -p \(port) @\(address) NAME.vm
            """
    }

    private var hasDelegates: Bool { (version ?? 0) >= Self.firstWithDelegates }
    private var delegatePath: String { "\(root)/etc/systemd/dns-delegate.d/covey-\(instance).dns-delegate" }
    private var dropInPath: String { "\(root)/etc/systemd/resolved.conf.d/covey-\(instance).conf" }
    private var path: String { hasDelegates ? delegatePath : dropInPath }

    private var text: String {
        """
        # Written by covey: names of its machines. "covey system uninstall" removes it.
        [\(hasDelegates ? "Delegate" : "Resolve")]
        DNS=\(endpoint)
        Domains=~vm

        """
    }

    /// What keeps the old form from being harmless; nil where nothing does.
    private var obstacle: String? {
        if hasDelegates { return nil }
        let folders = ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"]
        var files = folders.map { "\(root)\($0)/resolved.conf" }
        for folder in folders.map({ "\(root)\($0)/resolved.conf.d" }) {
            files += ((try? listFolder(folder)) ?? []).filter { $0.hasSuffix(".conf") }.map { "\(folder)/\($0)" }
        }
        for file in files where names(servers: "DNS", in: file) {
            return "\(file) names global servers, which it would take for equals of our listener"
        }
        // Servers of links: those that were set over the bus, and those of systemd-networkd.
        let links = ["/run/systemd/resolve/netif": "SERVERS", "/run/systemd/netif/links": "DNS"]
        let anyLink = links.contains { folder, key in
            ((try? listFolder(root + folder)) ?? []).contains { names(servers: key, in: "\(root)\(folder)/\($0)") }
        }
        return anyLink ? nil : "no link has servers of its own, so that all names would be asked of our listener"
    }

    private func names(servers key: String, in path: String) -> Bool {
        guard let text = try? readText(path) else { return false }
        return text.split(whereSeparator: \.isNewline).contains { line in
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return parts.count == 2 && parts[0].filter { !$0.isWhitespace } == key
                && parts[1].contains { !$0.isWhitespace }
        }
    }
}
