internal import CCovey
package import CoveyModel
internal import Glibc

/// A UDP socket as asynchronous datagrams. One reader at a time; any number may send.
package final class DatagramSocket: Sendable {
    /// A datagram with the endpoint that it came from.
    package struct Datagram: Sendable {
        /// What it held.
        package var bytes: [UInt8]
        /// Who sent it.
        package var source: SocketEndpoint
    }

    private let descriptor: FileDescriptor
    private let reactor: Reactor

    /// Takes a socket and makes it non-blocking.
    package init(_ descriptor: consuming FileDescriptor, reactor: Reactor) throws(SystemError) {
        try setNonBlocking(descriptor.raw)
        self.descriptor = descriptor
        self.reactor = reactor
    }

    /// The descriptor's number, valid as long as the socket lives.
    package var raw: Int32 { descriptor.raw }

    /// Suspends until a datagram or an error waits.
    package func readable() async throws { try await reactor.readable(descriptor.raw) }

    /// The next datagram, cut at `limit` bytes; nil where none waits.
    /// Errors: those of earlier datagrams of a connected socket (`ECONNREFUSED`).
    package func receive(limit: Int = 4096) throws(SystemError) -> Datagram? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var failure: Int32 = 0
        let raw = descriptor.raw
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            let got = withUnsafeMutablePointer(to: &storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    recvfrom(raw, buffer.baseAddress, limit, 0, address, &length)
                }
            }
            count = max(got, 0)
            if got < 0 { failure = errno }
        }
        if failure == EAGAIN || failure == EINTR { return nil }
        guard failure == 0 else { throw SystemError("recvfrom", "descriptor \(raw)", errno: failure) }
        guard let source = endpoint(of: storage) else { return nil }
        return Datagram(bytes: bytes, source: source)
    }

    /// As many sources as can be refused at one time.
    package static let mostRefused = Int(COVEY_MOST_REFUSED)

    /// Has the kernel drop what comes from these addresses from now on, at most ``mostRefused``, before it takes room from
    /// others; none lets all in again. Those of another version than the socket's are passed over.
    package func refuse(_ sources: Set<IPAddress>) throws(SystemError) {
        var bytes: [UInt8] = []
        var count = 0
        let isV6 =
            switch try boundEndpoint(descriptor.raw).address {
            case .v4: false
            case .v6: true
            }
        for source in sources {
            switch source {
            case .v4(let four) where !isV6: bytes += four.bytes
            case .v6(let six) where isV6: bytes += six.bytes
            case .v4, .v6: continue
            }
            count += 1
        }
        try check("setsockopt SO_ATTACH_FILTER", "descriptor \(descriptor.raw)") {
            covey_refuse_sources(descriptor.raw, bytes, count, isV6 ? 1 : 0)
        }
    }

    /// Sends a datagram; nil goes to the peer of a connected socket. Returns whether it was taken: a full buffer drops
    /// it, as the network may.
    @discardableResult
    package func send(_ bytes: [UInt8], to peer: SocketEndpoint?) throws(SystemError) -> Bool {
        let raw = descriptor.raw
        let sent: Int
        if let peer {
            sent = try withSocketAddress(peer) { address, length in
                bytes.withUnsafeBytes { sendto(raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL), address, length) }
            }
        } else {
            sent = bytes.withUnsafeBytes { Glibc.send(raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        }
        if sent >= 0 { return true }
        if errno == EAGAIN || errno == ENOBUFS || errno == EINTR { return false }
        throw SystemError("sendto", peer.map(\.description) ?? "descriptor \(raw)")
    }
}
