internal import CoveySystem
internal import Glibc
internal import Synchronization

/// A pipe between a thread that packs or unpacks and the call that carries the archive.
///
/// It is a pair of sockets: whoever shuts its side down ends the other, which still reads what was sent.
struct ArchivePipe: Sendable {
    /// The end that a thread uses, blocking.
    let thread: ThreadEnd
    /// The end that tasks use.
    let stream: ByteStream

    /// An end that is closed once, by whoever is done with it.
    final class ThreadEnd: Sendable {
        private let descriptor: Mutex<Int32>
        init(_ descriptor: consuming FileDescriptor) { self.descriptor = Mutex(descriptor.release()) }
        deinit { close() }

        /// Its number; -1 once it is closed.
        var raw: Int32 { descriptor.withLock { $0 } }

        /// Closes it; idempotent.
        func close() {
            let open = descriptor.withLock { descriptor in
                defer { descriptor = -1 }
                return descriptor
            }
            if open >= 0 { _ = Glibc.close(open) }
        }
    }

    /// A pipe.
    init() throws {
        var pair = try wideSocketPair()
        let first = pair.takeFirst()
        try setNonBlocking(first.raw, false)
        thread = ThreadEnd(first)
        stream = try ByteStream(pair.takeSecond(), reactor: try Reactor())
    }
}

/// A pipe between two calls.
struct MachinePipe: Sendable {
    /// Where one call writes.
    let input: ByteStream
    /// Where another reads.
    let output: ByteStream

    /// A pipe.
    init() throws {
        var pair = try wideSocketPair()
        let reactor = try Reactor()
        input = try ByteStream(pair.takeFirst(), reactor: reactor)
        output = try ByteStream(pair.takeSecond(), reactor: reactor)
    }
}

/// A pair of sockets that takes more at once than usual, as far as the kernel allows.
private func wideSocketPair() throws(SystemError) -> DescriptorPair {
    var pair = try socketPair()
    let ends = [pair.takeFirst().release(), pair.takeSecond().release()]
    for end in ends {
        var size: Int32 = 1 << 20
        setsockopt(end, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(4))
    }
    return DescriptorPair(owning: ends[0], ends[1])
}
