internal import CCovey
internal import CoveySystem
internal import Glibc

/// The kernel's route netlink, in the network namespace of the thread that opened it. All calls block, at most 5 s each.
struct NetlinkSocket: ~Copyable {
    private let descriptor: FileDescriptor
    private var sequence: UInt32 = 0
    private static let largest = 1 << 18
    private static let attempts = 20

    /// Opens it. Errors: what socket(2) answers.
    init() throws(SystemError) {
        descriptor = FileDescriptor(owning: try check("socket", "netlink") { covey_open_netlink(0) })
    }

    /// Sends a request and awaits its acknowledgement. Errors: the kernel's errno.
    mutating func perform(_ message: NetlinkMessage, _ subject: @autoclosure () -> String) throws(SystemError) {
        let number = try send(message, subject())
        while true {
            for answer in try receive(subject()) where answer.sequence == number {
                guard let error = answer.errorNumber else { continue }
                if error != 0 { throw SystemError("netlink", subject(), errno: error) }
                return
            }
        }
    }

    /// All that a dump answers, taken again where a change came between. Errors: the kernel's errno.
    mutating func dump<T>(
        _ message: NetlinkMessage, _ subject: String, _ read: (NetlinkAnswer) -> T?
    ) throws(SystemError) -> [T] {
        for _ in 0..<NetlinkSocket.attempts {
            if let all = try dumpOnce(message, subject, read) { return all }
        }
        throw SystemError("netlink", subject, errno: EAGAIN)
    }

    private mutating func dumpOnce<T>(
        _ message: NetlinkMessage, _ subject: String, _ read: (NetlinkAnswer) -> T?
    ) throws(SystemError) -> [T]? {
        let number = try send(message, subject)
        var all: [T] = []
        var interrupted = false
        while true {
            for answer in try receive(subject) where answer.sequence == number {
                interrupted = interrupted || answer.isInterrupted
                if let error = answer.errorNumber {
                    if error != 0 { throw SystemError("netlink", subject, errno: error) }
                    return interrupted ? nil : all
                }
                if let value = read(answer) { all.append(value) }
            }
        }
    }

    private mutating func send(_ message: NetlinkMessage, _ subject: String) throws(SystemError) -> UInt32 {
        sequence &+= 1
        let bytes = message.encoded(sequence: sequence)
        try check("netlink send", subject) { Glibc.send(descriptor.raw, bytes, bytes.count, 0) }
        return sequence
    }

    private func receive(_ subject: String) throws(SystemError) -> [NetlinkAnswer] {
        guard let bytes = try readSome(descriptor.raw, limit: NetlinkSocket.largest) else {
            throw SystemError("netlink", subject, errno: ETIMEDOUT)
        }
        return NetlinkAnswer.list(bytes)
    }
}

extension NetlinkSocket {
    /// All links.
    mutating func links() throws(SystemError) -> [HostLink] { try dump(.allLinks(), "links") { HostLink($0) } }

    /// All addresses.
    mutating func addresses() throws(SystemError) -> [HostAddress] {
        try dump(.allAddresses(), "addresses") { HostAddress($0) }
    }

    /// All routes to hosts.
    mutating func routes() throws(SystemError) -> [HostRoute] { try dump(.allRoutes(), "routes") { HostRoute($0) } }
}
