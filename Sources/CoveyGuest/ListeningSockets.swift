internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The sockets that programs of this machine listen on. Source: Linux, `Documentation/networking/proc_net_tcp.rst`.
enum ListeningSockets {
    /// A socket of one of the kernel's tables.
    struct Entry: Equatable {
        var transport: TransportProtocol
        var address: IPAddress
        var port: UInt16
        /// What the links of `/proc/PID/fd` call it.
        var inode: UInt64
    }

    /// So many descriptors of programs are looked at: a machine with more says of some sockets only that they are there.
    private static let mostDescriptors = 65_536

    /// All of them, by port, with their programs; at most ``ListeningPort/mostInGuest``.
    static func all() -> [ListeningPort] {
        var entries: [Entry] = []
        for (name, transport) in [
            ("tcp", TransportProtocol.tcp), ("tcp6", .tcp), ("udp", .udp), ("udp6", .udp),
        ] {
            // A kernel without IPv6 has half of them.
            guard let bytes = try? readFile("/proc/net/\(name)", limit: 16 << 20) else { continue }
            entries += parse(String(decoding: bytes, as: UTF8.self), transport)
        }
        entries.sort { ($0.port, $0.transport.rawValue, $0.address) < ($1.port, $1.transport.rawValue, $1.address) }
        let shown = entries.prefix(ListeningPort.mostInGuest)
        let owners = owners(of: Set(shown.map(\.inode)))
        return shown.map { entry in
            let pid = owners[entry.inode]
            return ListeningPort(
                transport: entry.transport, address: entry.address, port: entry.port,
                program: pid.flatMap { try? readText("/proc/\($0)/comm").trimmed }, pid: pid)
        }
    }

    /// The sockets of a table that wait for somebody: TCP ones that listen, UDP ones that are bound and not connected.
    static func parse(_ table: String, _ transport: TransportProtocol) -> [Entry] {
        let waiting = transport == .tcp ? "0A" : "07"
        return table.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count > 9, fields[3] == waiting else { return nil }
            let local = fields[1].split(separator: ":")
            guard local.count == 2, let address = address(local[0]), let port = UInt16(local[1], radix: 16), port > 0,
                let inode = UInt64(fields[9])
            else { return nil }
            return Entry(transport: transport, address: address, port: port, inode: inode)
        }
    }

    /// The kernel prints an address as 32-bit words of the machine's order.
    private static func address(_ text: Substring) -> IPAddress? {
        let digits = Array(text)
        let words = stride(from: 0, to: digits.count, by: 8).compactMap { start in
            UInt32(String(digits[start..<min(start + 8, digits.count)]), radix: 16).map(UInt32.init(bigEndian:))
        }
        switch (digits.count, words.count) {
        case (8, 1): return .v4(IPv4Address(bits: words[0]))
        case (32, 4):
            return .v6(
                IPv6Address(
                    high: UInt64(words[0]) << 32 | UInt64(words[1]), low: UInt64(words[2]) << 32 | UInt64(words[3])))
        case _: return nil
        }
    }

    /// The first process that has each of these sockets.
    private static func owners(of inodes: Set<UInt64>) -> [UInt64: Int32] {
        var owners: [UInt64: Int32] = [:]
        var looked = 0
        let pids = ((try? listFolder("/proc")) ?? []).compactMap { Int32($0) }.sorted()
        for pid in pids {
            // A process may end while it is looked at.
            for name in (try? listFolder("/proc/\(pid)/fd")) ?? [] {
                looked += 1
                guard looked <= mostDescriptors, owners.count < inodes.count else { return owners }
                guard let inode = socket("/proc/\(pid)/fd/\(name)"), inodes.contains(inode), owners[inode] == nil else {
                    continue
                }
                owners[inode] = pid
            }
        }
        return owners
    }

    /// The inode of a link that says `socket:[INODE]`.
    private static func socket(_ path: String) -> UInt64? {
        var target = [CChar](repeating: 0, count: 64)
        let length = readlink(path, &target, target.count)
        let text = String(decoding: target.prefix(max(0, length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        guard text.hasPrefix("socket:["), text.hasSuffix("]") else { return nil }
        return UInt64(text.dropFirst(8).dropLast())
    }
}
