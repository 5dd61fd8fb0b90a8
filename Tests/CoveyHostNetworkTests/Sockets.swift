import CoveyModel
import CoveySystem
import Glibc
import Synchronization
import Testing

@testable import CoveyHostNetwork

/// An address and a port as the kernel takes them.
private func withAddress<R>(
    _ address: IPAddress, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> R
) -> R {
    switch address {
    case .v4(let four):
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_port = port.bigEndian
        place.sin_addr.s_addr = four.bits.bigEndian
        return withUnsafePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    case .v6(let six):
        var place = sockaddr_in6()
        place.sin6_family = sa_family_t(AF_INET6)
        place.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &place.sin6_addr) { $0.copyBytes(from: six.bytes) }
        return withUnsafePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }
}

private func readAddress(_ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int) -> IPAddress?
{
    var place = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let result = withUnsafeMutablePointer(to: &place) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, &length) }
    }
    guard result >= 0 else { return nil }
    let bytes = withUnsafeBytes(of: &place) { Array($0) }
    return bytes[0] == 2
        ? IPAddress(family: 2, bytes: bytes[4..<8]) : IPAddress(family: 10, bytes: bytes[8..<24])
}

private func openSocket(_ address: IPAddress, _ transport: TransportProtocol) throws -> FileDescriptor {
    let type = transport == .tcp ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue
    let family = address.isVersion6 ? AF_INET6 : AF_INET
    let made = FileDescriptor(
        owning: try check("socket") { socket(family, Int32(type) | Int32(SOCK_CLOEXEC.rawValue), 0) })
    var limit = timeval(tv_sec: 3, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    try check("setsockopt") { setsockopt(made.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, size) }
    try check("setsockopt") { setsockopt(made.raw, SOL_SOCKET, SO_SNDTIMEO, &limit, size) }
    var one: Int32 = 1
    if address.isVersion6 {
        try check("setsockopt") { setsockopt(made.raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &one, 4) }
    }
    return made
}

/// A socket of a client: TCP connected, or UDP with a destination. Its calls block up to 3 s.
final class Client: Sendable {
    private let socket: FileDescriptor

    private init(_ socket: consuming FileDescriptor) { self.socket = socket }

    /// Connects from a namespace. Errors: the errno of connect(2).
    static func connect(
        from namespace: NetworkNamespace, _ text: String, _ port: UInt16, _ transport: TransportProtocol = .tcp
    ) async throws -> Client {
        let address = try #require(IPAddress(text))
        return try await namespace.run {
            let socket = try openSocket(address, transport)
            try check("connect", "\(text) port \(port)") {
                withAddress(address, port) { Glibc.connect(socket.raw, $0, $1) }
            }
            return Client(socket)
        }
    }

    /// Sends a text.
    func tell(_ text: String) async throws {
        let socket = socket.raw
        try await BlockingPool().run {
            let bytes = Array(text.utf8)
            _ = try check("send") { send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
        }
    }

    /// Sends a text and reads the answer.
    func ask(_ text: String) async throws -> String {
        let socket = socket.raw
        return try await BlockingPool().run {
            let bytes = Array(text.utf8)
            try check("send") { send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
            return try Client.receive(socket)
        }
    }

    private static func receive(_ socket: Int32) throws -> String {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = try check("recv") { recv(socket, &buffer, buffer.count, 0) }
        if count == 0 { throw SystemError("recv", "end of the connection", errno: ECONNRESET) }
        return String(decoding: buffer.prefix(count), as: UTF8.self)
    }

    /// Reads until the connection ends or so many bytes came. Returns how many came, and in which time.
    func drain(_ limit: Int) async throws -> (bytes: Int, time: Duration) {
        let socket = socket.raw
        return try await BlockingPool().run {
            var buffer = [UInt8](repeating: 0, count: 1 << 18)
            var all = 0
            let start = ContinuousClock.now
            while all < limit {
                let count = try check("recv") { recv(socket, &buffer, buffer.count, 0) }
                if count == 0 { break }
                all += count
            }
            return (all, ContinuousClock.now - start)
        }
    }
}

/// Answers everything with the address of who asked, on one thread: `PEER TEXT`. TCP and UDP on one port.
///
/// A text `give N` is answered with N bytes.
final class Server: Sendable {
    private let stopped = Atomic(false)
    private let listener: FileDescriptor
    private let datagrams: FileDescriptor
    private let received = Mutex<[String]>([])

    init(in namespace: NetworkNamespace, _ port: UInt16, on text: String = "0.0.0.0") async throws {
        let address = try #require(IPAddress(text))
        let sockets = try await namespace.run {
            let listener = try openSocket(address, .tcp)
            let datagrams = try openSocket(address, .udp)
            for socket in [listener.raw, datagrams.raw] {
                var one: Int32 = 1
                try check("setsockopt") { setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &one, 4) }
                try check("bind", text) { withAddress(address, port) { bind(socket, $0, $1) } }
            }
            try check("listen") { listen(listener.raw, 2048) }
            return (listener.release(), datagrams.release())
        }
        listener = FileDescriptor(owning: sockets.0)
        datagrams = FileDescriptor(owning: sockets.1)
    }

    /// Starts to answer; the server must be kept by the caller until it is stopped.
    func start() -> Server {
        startThread(named: "server") { self.serve() }
        return self
    }

    /// The texts of all datagrams that came.
    var texts: [String] { received.withLock { $0 } }

    /// Ends the thread and with it all connections.
    func stop() { stopped.store(true, ordering: .sequentiallyConsistent) }

    private func serve() {
        var connections: [Int32: String] = [:]
        defer { for connection in connections.keys { close(connection) } }
        while !stopped.load(ordering: .sequentiallyConsistent) {
            var waits = ([listener.raw, datagrams.raw] + connections.keys).map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            guard poll(&waits, nfds_t(waits.count), 20) > 0 else { continue }
            for wait in waits where wait.revents != 0 {
                if wait.fd == listener.raw {
                    var accepted: Int32 = -1
                    let peer = readAddress {
                        accepted = accept(listener.raw, $0, $1)
                        return Int(accepted)
                    }
                    if let peer { connections[accepted] = "\(peer)" }
                } else if wait.fd == datagrams.raw {
                    answerDatagram()
                } else if !answer(wait.fd, connections[wait.fd] ?? "") {
                    close(wait.fd)
                    connections[wait.fd] = nil
                }
            }
        }
    }

    private func answer(_ connection: Int32, _ peer: String) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = recv(connection, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        let text = String(decoding: buffer.prefix(count), as: UTF8.self)
        guard text.hasPrefix("give "), let wanted = Int(text.dropFirst(5)) else {
            let bytes = Array("\(peer) \(text)".utf8)
            return send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
        }
        startThread(named: "giver") { [connection = dup(connection)] in
            let bytes = [UInt8](repeating: 7, count: 65536)
            var left = wanted
            while left > 0 {
                let sent = send(connection, bytes, min(left, bytes.count), Int32(MSG_NOSIGNAL))
                if sent <= 0 { break }
                left -= sent
            }
            close(connection)
        }
        return true
    }

    private func answerDatagram() {
        var buffer = [UInt8](repeating: 0, count: 65536)
        var place = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        withUnsafeMutablePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                let count = recvfrom(datagrams.raw, &buffer, buffer.count, 0, address, &length)
                guard count >= 0 else { return }
                let text = String(decoding: buffer.prefix(count), as: UTF8.self)
                received.withLock { $0.append(text) }
                var peer = [CChar](repeating: 0, count: 64)
                getnameinfo(address, length, &peer, 64, nil, 0, NI_NUMERICHOST)
                let name = String(decoding: peer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                let bytes = Array("\(name) \(text)".utf8)
                _ = sendto(datagrams.raw, bytes, bytes.count, 0, address, length)
            }
        }
    }
}

/// Runs a body with a server that is stopped afterwards.
func withServer<T: Sendable>(
    in namespace: NetworkNamespace, _ port: UInt16, on address: String = "0.0.0.0",
    _ body: @Sendable (Server) async throws -> T
) async throws -> T {
    let server = try await Server(in: namespace, port, on: address).start()
    defer { server.stop() }
    return try await body(server)
}
