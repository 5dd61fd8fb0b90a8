package import CoveyModel
package import CoveySystem
internal import Synchronization

/// Where the servers that are asked for all other names come from.
package enum UpstreamSource: Hashable, Sendable {
    /// A file as resolv.conf(5) has it, read again when it changes.
    case file(String)
    /// These.
    case fixed([SocketEndpoint])
}

/// The servers that are asked for all other names, the one that answered last first.
package final class Upstreams: Sendable {
    private struct State {
        var servers: [SocketEndpoint] = []
        var avoided: Set<SocketEndpoint> = []
        var preferred: SocketEndpoint?
        var since = ContinuousClock.now
        var problem: String?
    }

    /// As many servers as are asked, as the C library does.
    private static let most = 3
    /// After this time the first server is asked first again, though another one has answered.
    private static let patience = Duration.seconds(30)

    private let source: UpstreamSource
    private let state = Mutex(State())

    /// Servers of a source, which ``refresh()`` reads.
    package init(_ source: UpstreamSource) { self.source = source }

    /// Never asks these: they are ourselves.
    package func avoid(_ own: Set<SocketEndpoint>) { state.withLock { $0.avoided = own } }

    /// Reads the source again, and says whether others are asked now. Blocks for a moment: not for the cooperative pool.
    @discardableResult
    package func refresh() -> Bool {
        let servers: [SocketEndpoint]
        var problem: String?
        switch source {
        case .fixed(let fixed): servers = fixed
        case .file(let path):
            do {
                servers = Self.servers(in: try readText(path)).map { SocketEndpoint($0, port: 53) }
                if servers.isEmpty { problem = "\(path) names no server" }
            } catch {
                servers = []
                problem = String(describing: error)
            }
        }
        return state.withLock { state in
            defer {
                state.servers = servers
                state.problem = problem
            }
            return state.servers != servers
        }
    }

    /// The servers in the order to be asked; empty where none is known.
    package func servers(now: ContinuousClock.Instant) -> [SocketEndpoint] {
        state.withLock { state in
            var servers = Array(state.servers.filter { !state.avoided.contains($0) }.prefix(Self.most))
            if let preferred = state.preferred, now - state.since < Self.patience,
                let index = servers.firstIndex(of: preferred)
            {
                servers.remove(at: index)
                servers.insert(preferred, at: 0)
            }
            return servers
        }
    }

    /// Notes who answered.
    package func answered(_ server: SocketEndpoint, now: ContinuousClock.Instant) {
        state.withLock { state in
            guard state.preferred != server else { return }
            state.preferred = server
            state.since = now
        }
    }

    /// Why nothing is forwarded; nil where there is a server.
    package var problem: String? {
        state.withLock { state in
            if let problem = state.problem { return problem }
            return state.servers.contains { !state.avoided.contains($0) } ? nil : "no server of the host is known"
        }
    }

    /// The addresses of `nameserver` lines. IPv6 addresses with a zone are left out. Source: resolv.conf(5).
    package static func servers(in text: String) -> [IPAddress] {
        text.split(whereSeparator: \.isNewline).compactMap { line in
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count >= 2, words[0] == "nameserver" else { return nil }
            return IPAddress(String(words[1]))
        }
    }
}
