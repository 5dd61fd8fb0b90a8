internal import CoveyModel
internal import CoveyNetwork
internal import CoveySystem
internal import Glibc

/// Sockets of the host as `/proc/net/tcp` and its sisters list them. Source: proc_pid_net(5).
struct SocketTable: Sendable {
    /// A socket that holds a port.
    struct Entry: Hashable, Sendable {
        /// Its address.
        var address: IPAddress
        /// Its port.
        var port: UInt16
        /// By which its process is found.
        var inode: UInt64
    }

    /// Reads a table's text: of TCP those that listen, of UDP all. Lines of another form are left out.
    static func entries(_ text: String, _ transport: TransportProtocol) -> [Entry] {
        text.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count > 9, let inode = UInt64(fields[9]), let colon = fields[1].lastIndex(of: ":"),
                let port = UInt16(fields[1][fields[1].index(after: colon)...], radix: 16),
                let address = address(fields[1][..<colon])
            else { return nil }
            switch transport {
            case .tcp where fields[3] != "0A": return nil
            case .tcp, .udp: return Entry(address: address, port: port, inode: inode)
            }
        }
    }

    /// Words of 32 bits as the machine has them, in hex.
    private static func address(_ text: Substring) -> IPAddress? {
        var bytes: [UInt8] = []
        var rest = text
        while !rest.isEmpty {
            guard let word = UInt32(rest.prefix(8), radix: 16), rest.utf8.count >= 8 else { return nil }
            bytes += word.native
            rest = rest.dropFirst(8)
        }
        return IPAddress(family: bytes.count == 4 ? 2 : 10, bytes: bytes[...])
    }

    /// The socket that keeps a place from being held; nil where none is listed.
    static func holder(of place: PortHolds.Place) -> Entry? {
        for suffix in ["", "6"] {
            let path = "/proc/thread-self/net/\(place.transport.rawValue)\(suffix)"
            guard let bytes = try? readFile(path) else { continue }
            let text = String(decoding: bytes, as: UTF8.self)
            let found = entries(text, place.transport).first { entry in
                guard entry.port == place.port else { return false }
                let any = entry.address.isWildcard || place.address.isWildcard
                return entry.address == place.address || any && !(entry.address.isVersion6 && !entry.address.isWildcard)
            }
            if let found { return found }
        }
        return nil
    }

    /// The process that has a socket open, by its inode. Nil where it cannot be seen.
    static func process(of inode: UInt64) -> (pid: Int32, program: String)? {
        let wanted = "socket:[\(inode)]"
        guard let names = try? listFolder("/proc") else { return nil }
        for pid in names.compactMap({ Int32($0) }) {
            guard let descriptors = try? listFolder("/proc/\(pid)/fd") else { continue }
            for descriptor in descriptors where link("/proc/\(pid)/fd/\(descriptor)") == wanted {
                let name = (try? readText("/proc/\(pid)/comm")) ?? ""
                return (pid, String(name.prefix { $0 != "\n" }))
            }
        }
        return nil
    }

    private static func link(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 64)
        let count = readlink(path, &buffer, buffer.count)
        guard count > 0 else { return nil }
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension IPAddress {
    /// Whether it stands for every address.
    var isWildcard: Bool {
        switch self {
        case .v4(let four): four.bits == 0
        case .v6(let six): six.high == 0 && six.low == 0
        }
    }
}
