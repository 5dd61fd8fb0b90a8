internal import CCovey
internal import Glibc

/// How a Unix socket keeps what is sent.
package enum SocketKind: Sendable {
    /// A stream of bytes.
    case stream
    /// Packets that stay whole and in order.
    case packets
    /// Packets without a connection.
    case datagrams

    fileprivate var type: Int32 {
        switch self {
        case .stream: Int32(SOCK_STREAM.rawValue)
        case .packets: Int32(SOCK_SEQPACKET.rawValue)
        case .datagrams: Int32(SOCK_DGRAM.rawValue)
        }
    }
}

/// The longest path of a Unix socket, in bytes.
package let longestSocketPath = 107

/// Binds and listens on a path; the file has mode 0600 from its first instant. Errors: `EADDRINUSE` where it exists.
package func listenUnix(_ path: String, _ kind: SocketKind = .stream, backlog: Int32 = 128) throws(SystemError)
    -> FileDescriptor
{
    let socket = try makeSocket(kind)
    try check("fchmod", path) { fchmod(socket.raw, 0o600) }
    try withAddress(path) { address, length throws(SystemError) in
        try check("bind", path) { bind(socket.raw, address, length) }
    }
    try check("listen", path) { listen(socket.raw, backlog) }
    return socket
}

/// Binds a path for datagrams, non-blocking; the file has mode 0600 from its first instant. Errors: `EADDRINUSE`.
package func bindDatagrams(_ path: String) throws(SystemError) -> FileDescriptor {
    let socket = try makeSocket(.datagrams)
    try check("fchmod", path) { fchmod(socket.raw, 0o600) }
    try withAddress(path) { address, length throws(SystemError) in
        try check("bind", path) { bind(socket.raw, address, length) }
    }
    return socket
}

/// Connects to a path without waiting. Errors: `ENOENT`, `ECONNREFUSED`, `EACCES`, `EAGAIN` where its queue is full.
package func connectUnix(_ path: String, _ kind: SocketKind = .stream) throws(SystemError) -> FileDescriptor {
    let socket = try makeSocket(kind)
    try withAddress(path) { address, length throws(SystemError) in
        try check("connect", path) { connect(socket.raw, address, length) }
    }
    return socket
}

/// Two connected sockets, close-on-exec and non-blocking.
package func socketPair(_ kind: SocketKind = .stream) throws(SystemError) -> DescriptorPair {
    var ends: [Int32] = [0, 0]
    let type = kind.type | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    try check("socketpair") { socketpair(AF_UNIX, type, 0, &ends) }
    return DescriptorPair(owning: ends[0], ends[1])
}

/// Takes one waiting connection, non-blocking; nil where none waits.
package func acceptUnix(_ listener: Int32) throws(SystemError) -> FileDescriptor? {
    do {
        return FileDescriptor(owning: try check("accept4") { covey_accept(listener) })
    } catch {
        if error.isErrno(EAGAIN) || error.isErrno(ECONNABORTED) { return nil }
        throw error
    }
}

private func makeSocket(_ kind: SocketKind) throws(SystemError) -> FileDescriptor {
    let type = kind.type | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    return FileDescriptor(owning: try check("socket") { socket(AF_UNIX, type, 0) })
}

private func withAddress(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> Void
) throws(SystemError) {
    let bytes = Array(path.utf8)
    guard bytes.count <= longestSocketPath else { throw SystemError("bind", path, errno: ENAMETOOLONG) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    var failure: SystemError?
    withUnsafePointer(to: address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
            do throws(SystemError) {
                try body(raw, socklen_t(MemoryLayout<sockaddr_un>.size))
            } catch { failure = error }
        }
    }
    if let failure { throw failure }
}
