package import CoveyModel
internal import Glibc

/// A process that has a socket.
package struct SocketOwner: Hashable, Sendable {
    /// The process; nil where it cannot be seen.
    package var pid: Int32?
    /// Its program's name; nil where it cannot be seen.
    package var program: String?
    /// Where the socket is bound.
    package var endpoint: SocketEndpoint

    /// `dnsmasq (pid 12)`, or that nobody can be seen.
    package var text: String {
        guard let pid else { return "a process that cannot be seen" }
        return "\(program ?? "a process") (pid \(pid))"
    }

    /// Who keeps others from an endpoint: a bound UDP socket or a listening TCP socket with the same port and the same
    /// address or every address. Reads `/proc`, which takes time: not for the cooperative pool. Nil where there is none.
    package static func find(_ wanted: SocketEndpoint, _ transport: TransportProtocol) throws(SystemError)
        -> SocketOwner?
    {
        for version in ["", "6"] {
            let path = "/proc/thread-self/net/\(transport.rawValue)\(version)"
            guard fileExists(path) else { continue }
            for line in try readText(path).split(separator: "\n").dropFirst() {
                let fields = line.split(separator: " ", omittingEmptySubsequences: true)
                // sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode.
                guard fields.count > 9, let bound = endpoint(fields[1]), bound.port == wanted.port,
                    transport == .udp || fields[3] == "0A", let inode = UInt64(fields[9])
                else { continue }
                guard bound.address == wanted.address || bound.address.isUnspecified else { continue }
                let pid = process(with: inode)
                let program = pid.flatMap { try? readText("/proc/\($0)/comm") }
                    .map { String($0.prefix { $0 != "\n" }) }
                return SocketOwner(pid: pid, program: program, endpoint: bound)
            }
        }
        return nil
    }

    /// Reads `0100007F:0035`: an address in words of the host's order, and the port. Nil for anything else.
    private static func endpoint(_ text: Substring) -> SocketEndpoint? {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let port = UInt16(parts[1], radix: 16) else { return nil }
        var words: [UInt32] = []
        var rest = parts[0]
        while rest.count >= 8 {
            guard let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
            words.append(word.bigEndian)
            rest = rest.dropFirst(8)
        }
        switch words.count {
        case 1: return SocketEndpoint(.v4(IPv4Address(bits: words[0])), port: port)
        case 4:
            let high = UInt64(words[0]) << 32 | UInt64(words[1])
            let low = UInt64(words[2]) << 32 | UInt64(words[3])
            return SocketEndpoint(.v6(IPv6Address(high: high, low: low)), port: port)
        case _: return nil
        }
    }

    private static func process(with inode: UInt64) -> Int32? {
        let wanted = "socket:[\(inode)]"
        for name in (try? listFolder("/proc")) ?? [] {
            guard let pid = Int32(name) else { continue }
            for descriptor in (try? listFolder("/proc/\(pid)/fd")) ?? []
            where linkTarget("/proc/\(pid)/fd/\(descriptor)") == wanted { return pid }
        }
        return nil
    }

    private static func linkTarget(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 256)
        let count = readlink(path, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
    }
}

extension IPAddress {
    /// Whether it stands for every address.
    package var isUnspecified: Bool {
        switch self {
        case .v4(let four): four.bits == 0
        case .v6(let six): six.high == 0 && six.low == 0
        }
    }
}
