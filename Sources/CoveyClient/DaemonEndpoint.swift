package import CoveyModel

/// Where a daemon is reached.
package struct DaemonEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// The socket of a daemon without a root of its own.
    package static let standard = DaemonEndpoint(socket: "/run/covey/covey.sock")

    /// The path of its Unix socket.
    package let socket: String

    /// A daemon at a socket.
    package init(socket: String) { self.socket = socket }

    /// Reads `unix:/path` or an absolute path. Errors: ``ErrorCode/invalid`` for anything else.
    package init(_ text: String) throws(CoveyError) {
        var path = text
        if path.hasPrefix("unix:") { path.removeFirst("unix:".count) }
        if path.hasPrefix("//") { path.removeFirst(2) }
        guard path.hasPrefix("/"), path.utf8.count <= 107 else {
            throw CoveyError(
                .invalid, "\"\(text)\" is no address of a daemon",
                remedy: "write it as unix:/path/to/covey.sock, of at most 107 bytes")
        }
        socket = path
    }

    /// `unix:/run/covey/covey.sock`.
    package var description: String { "unix:\(socket)" }
}
