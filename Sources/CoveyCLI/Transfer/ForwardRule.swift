internal import ArgumentParser
internal import CoveyModel
internal import CoveySystem

/// `[BIND:]LOCAL:REMOTE`: a port of this host and what it leads to in the machine.
struct ForwardRule: ExpressibleByArgument, Equatable, Sendable {
    /// Where this host listens; port 0 is any.
    let local: SocketEndpoint
    /// What it leads to.
    let remote: GuestEndpoint

    init?(argument: String) {
        var rest = argument[...]
        var bind = IPAddress("127.0.0.1")
        if rest.hasPrefix("["), let end = rest.firstIndex(of: "]") {
            bind = IPAddress(String(rest[rest.index(after: rest.startIndex)..<end]))
            rest = rest[rest.index(after: end)...]
            guard rest.first == ":" else { return nil }
            rest = rest.dropFirst()
        } else if rest.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).count == 3,
            let colon = rest.firstIndex(of: ":")
        {
            bind = IPAddress(rest[..<colon] == "localhost" ? "127.0.0.1" : String(rest[..<colon]))
            rest = rest[rest.index(after: colon)...]
        }
        let parts = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let bind, let first = parts.first, let port = UInt16(first) else { return nil }
        // One port stands for both sides.
        let target = parts.count == 2 ? parts[1] : first
        if target.hasPrefix("/") {
            remote = .socket(String(target))
        } else if let number = UInt16(target), number > 0 {
            remote = .port(number)
        } else {
            return nil
        }
        local = SocketEndpoint(bind, port: port)
    }
}
