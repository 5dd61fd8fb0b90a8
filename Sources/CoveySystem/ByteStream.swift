internal import Glibc

/// A connected socket or pipe as asynchronous bytes. One reader and one writer at a time.
package final class ByteStream: Sendable {
    private let descriptor: FileDescriptor
    private let reactor: Reactor

    /// Takes a descriptor and makes it non-blocking.
    package init(_ descriptor: consuming FileDescriptor, reactor: Reactor) throws(SystemError) {
        try setNonBlocking(descriptor.raw)
        self.descriptor = descriptor
        self.reactor = reactor
    }

    /// Connects to a Unix socket, waiting while its queue is full.
    package static func connect(
        to path: String, kind: SocketKind = .stream, reactor: Reactor
    ) async throws -> ByteStream {
        while true {
            do throws(SystemError) {
                return try ByteStream(try connectUnix(path, kind), reactor: reactor)
            } catch {
                guard error.isErrno(EAGAIN) else { throw error }
            }
            // A full queue of a Unix socket has no event to wait for; the caller has the deadline.
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    /// The descriptor's number, for calls that need it; valid as long as the stream lives.
    package var raw: Int32 { descriptor.raw }

    /// The next bytes, at most `limit`; empty at the end.
    package func read(limit: Int = 65536) async throws -> [UInt8] {
        while true {
            if let bytes = try readSome(descriptor.raw, limit: limit) { return bytes }
            try await reactor.readable(descriptor.raw)
        }
    }

    /// Writes everything.
    package func write(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let put = try writeSome(descriptor.raw, rest)
            rest = rest.dropFirst(put)
            if put == 0 { try await reactor.writable(descriptor.raw) }
        }
    }

    /// Ends both directions: a waiting reader sees the end, a writer fails. The descriptor closes with the last owner.
    package func shutdown() { _ = Glibc.shutdown(descriptor.raw, Int32(SHUT_RDWR)) }
}
