internal import CCovey
package import CoveyModel
internal import Glibc

/// An address with a port.
package struct SocketEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// The address.
    package var address: IPAddress
    /// The port; 0 lets the kernel choose.
    package var port: UInt16

    /// Puts both together.
    package init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }

    /// `127.0.0.1:53`, `[::1]:53`.
    package var description: String {
        switch address {
        case .v4(let four): "\(four):\(port)"
        case .v6(let six): "[\(six)]:\(port)"
        }
    }
}

/// How a socket is bound, beyond its endpoint.
package struct BindOptions: Hashable, Sendable {
    /// Whether the address may be one that no link has yet (`IP_FREEBIND`).
    package var mayBeAbsent: Bool
    /// The link from which alone packets come (`SO_BINDTODEVICE`); nil is every link.
    package var device: String?
    /// The receive buffer in bytes; nil is the system's.
    package var receiveBuffer: Int32?

    /// Makes options; without any, a socket is bound as usual.
    package init(mayBeAbsent: Bool = false, device: String? = nil, receiveBuffer: Int32? = nil) {
        self.mayBeAbsent = mayBeAbsent
        self.device = device
        self.receiveBuffer = receiveBuffer
    }
}

/// A bound UDP socket, non-blocking. Errors: `EADDRINUSE` where another has the port, `ENODEV` without the link.
package func bindUDP(_ endpoint: SocketEndpoint, _ options: BindOptions = BindOptions()) throws(SystemError)
    -> FileDescriptor
{
    let socket = try makeInternetSocket(endpoint, SOCK_DGRAM, options)
    try withSocketAddress(endpoint) { address, length throws(SystemError) in
        try check("bind", "udp \(endpoint)") { bind(socket.raw, address, length) }
    }
    return socket
}

/// A listening TCP socket, non-blocking. Errors: `EADDRINUSE` where another has the port, `ENODEV` without the link.
package func listenTCP(_ endpoint: SocketEndpoint, _ options: BindOptions = BindOptions(), backlog: Int32 = 128)
    throws(SystemError) -> FileDescriptor
{
    let socket = try makeInternetSocket(endpoint, SOCK_STREAM, options)
    try setOption(socket.raw, SOL_SOCKET, SO_REUSEADDR, 1)
    try withSocketAddress(endpoint) { address, length throws(SystemError) in
        try check("bind", "tcp \(endpoint)") { bind(socket.raw, address, length) }
    }
    try check("listen", "tcp \(endpoint)") { listen(socket.raw, backlog) }
    return socket
}

/// A UDP socket with a random port that hears of one peer alone.
package func connectUDP(_ peer: SocketEndpoint) throws(SystemError) -> FileDescriptor {
    let socket = try makeInternetSocket(peer, SOCK_DGRAM, BindOptions())
    try withSocketAddress(peer) { address, length throws(SystemError) in
        try check("connect", "udp \(peer)") { Glibc.connect(socket.raw, address, length) }
    }
    return socket
}

/// Takes one waiting TCP connection, non-blocking; nil where none waits.
package func acceptTCP(_ listener: Int32) throws(SystemError) -> FileDescriptor? {
    let raw = covey_accept(listener)
    if raw >= 0 { return FileDescriptor(owning: raw) }
    // Errors of the connection that was waiting are no errors of the listener: accept(2).
    let passing = [EAGAIN, ECONNABORTED, EINTR, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENONET]
    if passing.contains(errno) { return nil }
    throw SystemError("accept4")
}

/// A TCP socket, non-blocking, whose connection is under way: once it is writable, ``checkConnected(_:_:)`` tells.
package func beginTCP(_ peer: SocketEndpoint) throws(SystemError) -> FileDescriptor {
    let socket = try makeInternetSocket(peer, SOCK_STREAM, BindOptions())
    do throws(SystemError) {
        try withSocketAddress(peer) { address, length throws(SystemError) in
            try check("connect", "tcp \(peer)") { Glibc.connect(socket.raw, address, length) }
        }
    } catch {
        guard error.isErrno(EINPROGRESS) else { throw error }
    }
    return socket
}

/// Whether a connection that was begun has come about. Errors: what `connect(2)` answers.
package func checkConnected(_ socket: Int32, _ peer: SocketEndpoint) throws(SystemError) {
    var failure: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", "tcp \(peer)") { getsockopt(socket, SOL_SOCKET, SO_ERROR, &failure, &size) }
    guard failure == 0 else { throw SystemError("connect", "tcp \(peer)", errno: failure) }
}

extension ByteStream {
    /// Connects by TCP; the caller has the deadline. Errors: what `connect(2)` answers.
    package static func connectTCP(_ peer: SocketEndpoint, reactor: Reactor) async throws -> ByteStream {
        let stream = try ByteStream(try beginTCP(peer), reactor: reactor)
        try await reactor.writable(stream.raw)
        try checkConnected(stream.raw, peer)
        return stream
    }
}

/// The number of a link of this network namespace; nil where there is none of the name.
package func linkIndex(_ name: String) -> UInt32? {
    let index = if_nametoindex(name)
    return index == 0 ? nil : index
}

/// The endpoint that a socket is bound to.
package func boundEndpoint(_ descriptor: Int32) throws(SystemError) -> SocketEndpoint {
    try readEndpoint("getsockname", descriptor) { getsockname(descriptor, $0, $1) }
}

/// The endpoint that a socket is connected to. Errors: `ENOTCONN` where its peer has gone.
package func peerEndpoint(_ descriptor: Int32) throws(SystemError) -> SocketEndpoint {
    try readEndpoint("getpeername", descriptor) { getpeername(descriptor, $0, $1) }
}

private func readEndpoint(
    _ call: String, _ descriptor: Int32,
    _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
) throws(SystemError) -> SocketEndpoint {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    try check(call, "descriptor \(descriptor)") {
        withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &length) }
        }
    }
    guard let endpoint = endpoint(of: storage) else {
        throw SystemError(call, "descriptor \(descriptor)", errno: EAFNOSUPPORT)
    }
    return endpoint
}

private func makeInternetSocket(_ endpoint: SocketEndpoint, _ type: __socket_type, _ options: BindOptions)
    throws(SystemError) -> FileDescriptor
{
    let isV6 =
        switch endpoint.address {
        case .v4: false
        case .v6: true
        }
    let kind = Int32(type.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let socket = FileDescriptor(
        owning: try check("socket", "\(endpoint)") { Glibc.socket(isV6 ? AF_INET6 : AF_INET, kind, 0) })
    if isV6 { try setOption(socket.raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
    // IP_FREEBIND counts for both versions: ip(7), inet6_bind.
    if options.mayBeAbsent { try setOption(socket.raw, Int32(IPPROTO_IP), IP_FREEBIND, 1) }
    if let size = options.receiveBuffer {
        // Beyond the system's bound with CAP_NET_ADMIN alone: without it the bound counts.
        do throws(SystemError) {
            try setOption(socket.raw, SOL_SOCKET, SO_RCVBUFFORCE, size)
        } catch { try setOption(socket.raw, SOL_SOCKET, SO_RCVBUF, size) }
    }
    if let device = options.device {
        let name = Array(device.utf8)
        try check("setsockopt SO_BINDTODEVICE", device) {
            setsockopt(socket.raw, SOL_SOCKET, SO_BINDTODEVICE, name, socklen_t(name.count))
        }
    }
    return socket
}

private func setOption(_ socket: Int32, _ level: Int32, _ name: Int32, _ value: Int32) throws(SystemError) {
    var value = value
    try check("setsockopt", "option \(name)") {
        setsockopt(socket, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

@discardableResult
func withSocketAddress<R>(
    _ endpoint: SocketEndpoint, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> R
) throws(SystemError) -> R {
    switch endpoint.address {
    case .v4(let four):
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = endpoint.port.bigEndian
        address.sin_addr.s_addr = four.bits.bigEndian
        return try rebound(address, body)
    case .v6(let six):
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = endpoint.port.bigEndian
        withUnsafeMutableBytes(of: &address.sin6_addr) { bytes in
            bytes.storeBytes(of: six.high.bigEndian, as: UInt64.self)
            bytes.storeBytes(of: six.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return try rebound(address, body)
    }
}

private func rebound<A, R>(
    _ address: A, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> R
) throws(SystemError) -> R {
    let result = withUnsafePointer(to: address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw -> Result<R, SystemError> in
            do throws(SystemError) {
                return .success(try body(raw, socklen_t(MemoryLayout<A>.size)))
            } catch { return .failure(error) }
        }
    }
    return try result.get()
}

func endpoint(of storage: sockaddr_storage) -> SocketEndpoint? {
    withUnsafeBytes(of: storage) { bytes -> SocketEndpoint? in
        switch Int32(storage.ss_family) {
        case AF_INET:
            let address = bytes.loadUnaligned(as: sockaddr_in.self)
            let four = IPv4Address(bits: UInt32(bigEndian: address.sin_addr.s_addr))
            return SocketEndpoint(.v4(four), port: UInt16(bigEndian: address.sin_port))
        case AF_INET6:
            let address = bytes.loadUnaligned(as: sockaddr_in6.self)
            let halves = withUnsafeBytes(of: address.sin6_addr) { address in
                (address.loadUnaligned(as: UInt64.self), address.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            }
            let six = IPv6Address(high: UInt64(bigEndian: halves.0), low: UInt64(bigEndian: halves.1))
            return SocketEndpoint(.v6(six), port: UInt16(bigEndian: address.sin6_port))
        case _: return nil
        }
    }
}
