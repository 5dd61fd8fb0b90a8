internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Relays standard input, output and error without blocking the cooperative pool.
struct StandardStreams: Sendable {
    private let reactor: Reactor
    private let pool = BlockingPool("covey-output")

    init() throws { reactor = try Reactor() }

    /// The next bytes of standard input; nil at its end.
    ///
    /// The descriptor stays blocking, since other processes share it: it is read only when it is readable.
    func read() async throws -> [UInt8]? {
        do {
            try await reactor.readable(STDIN_FILENO)
        } catch let error as SystemError where error.isErrno(EPERM) {
            // A regular file cannot be watched, and never blocks.
        }
        let bytes = try readSome(STDIN_FILENO)
        guard let bytes, !bytes.isEmpty else { return bytes == nil ? [] : nil }
        return bytes
    }

    /// Writes bytes to a descriptor of this process.
    func write(_ descriptor: Int32, _ bytes: [UInt8]) async throws {
        do {
            try await pool.run { try writeEverything(descriptor, bytes) }
        } catch let error as SystemError where error.isErrno(EPIPE) {
            throw CoveyError(.cancelled, "nobody reads the output any more")
        }
    }
}

/// Writes everything, also to a descriptor that another process made non-blocking.
private func writeEverything(_ descriptor: Int32, _ bytes: [UInt8]) throws(SystemError) {
    var rest = bytes[...]
    while !rest.isEmpty {
        let put = try writeSome(descriptor, rest)
        rest = rest.dropFirst(put)
        guard put == 0 else { continue }
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        try check("poll") { poll(&waiting, 1, -1) }
    }
}
