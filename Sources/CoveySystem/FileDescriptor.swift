internal import CCovey
internal import Glibc

/// The one owner of an open file descriptor; it is closed when the value ends.
package struct FileDescriptor: ~Copyable, Sendable {
    /// The descriptor's number, valid as long as this value lives.
    package let raw: Int32

    /// Takes ownership of a descriptor.
    package init(owning raw: Int32) { self.raw = raw }

    deinit { _ = Glibc.close(raw) }

    /// Gives the descriptor away without closing it.
    package consuming func release() -> Int32 {
        let raw = raw
        discard self
        return raw
    }

    /// Closes now, and says whether the kernel agreed.
    package consuming func close() throws(SystemError) {
        let raw = raw
        discard self
        if Glibc.close(raw) != 0 { throw SystemError("close", "descriptor \(raw)") }
    }

    /// A duplicate, close-on-exec.
    package func duplicate() throws(SystemError) -> FileDescriptor {
        FileDescriptor(owning: try check("fcntl F_DUPFD_CLOEXEC") { fcntl(raw, F_DUPFD_CLOEXEC, 3) })
    }
}

/// Calls `body` again while it is interrupted, and throws where it answers a negative number.
@discardableResult
package func check<R: SignedInteger>(
    _ call: String, _ subject: @autoclosure () -> String = "", _ body: () -> R
) throws(SystemError) -> R {
    while true {
        let result = body()
        if result >= 0 { return result }
        if errno != EINTR { throw SystemError(call, subject()) }
    }
}

/// Access and creation of ``openFile(_:_:mode:)``; close-on-exec is always set.
package struct OpenFlags: OptionSet, Sendable {
    /// The bits of `open(2)`.
    package let rawValue: Int32
    /// Flags from the bits of `open(2)`.
    package init(rawValue: Int32) { self.rawValue = rawValue }
    /// `O_RDONLY`, the access without another.
    package static let readOnly = OpenFlags([])
    /// `O_WRONLY`.
    package static let writeOnly = OpenFlags(rawValue: O_WRONLY)
    /// `O_RDWR`.
    package static let readWrite = OpenFlags(rawValue: O_RDWR)
    /// `O_CREAT`.
    package static let create = OpenFlags(rawValue: O_CREAT)
    /// `O_EXCL`.
    package static let exclusive = OpenFlags(rawValue: O_EXCL)
    /// `O_TRUNC`.
    package static let truncate = OpenFlags(rawValue: O_TRUNC)
    /// `O_APPEND`.
    package static let append = OpenFlags(rawValue: O_APPEND)
    /// `O_NONBLOCK`.
    package static let nonBlocking = OpenFlags(rawValue: O_NONBLOCK)
    /// `O_DIRECTORY`.
    package static let directory = OpenFlags(rawValue: O_DIRECTORY)
    /// `O_NOFOLLOW`.
    package static let noFollow = OpenFlags(rawValue: O_NOFOLLOW)
}

/// Opens a file. Errors: what `open(2)` answers.
package func openFile(_ path: String, _ flags: OpenFlags, mode: UInt32 = 0o600) throws(SystemError) -> FileDescriptor {
    FileDescriptor(owning: try check("open", path) { open(path, flags.rawValue | O_CLOEXEC, mode) })
}

/// Two descriptors that belong together; each is taken once, and what nobody took is closed.
package struct DescriptorPair: ~Copyable, Sendable {
    private var left: Int32
    private var right: Int32

    /// Takes ownership of two descriptors.
    package init(owning left: Int32, _ right: Int32) {
        self.left = left
        self.right = right
    }

    deinit {
        if left >= 0 { _ = Glibc.close(left) }
        if right >= 0 { _ = Glibc.close(right) }
    }

    /// Takes one end: of a pipe the one that is read from. To be called once.
    package mutating func takeFirst() -> FileDescriptor {
        precondition(left >= 0, "the first descriptor was taken before")
        defer { left = -1 }
        return FileDescriptor(owning: left)
    }

    /// Takes the other end: of a pipe the one that is written to. To be called once.
    package mutating func takeSecond() -> FileDescriptor {
        precondition(right >= 0, "the second descriptor was taken before")
        defer { right = -1 }
        return FileDescriptor(owning: right)
    }
}

/// A pipe, close-on-exec: the first end reads, the second writes.
package func makePipe(nonBlocking: Bool = false) throws(SystemError) -> DescriptorPair {
    var ends: [Int32] = [0, 0]
    try check("pipe2") { covey_pipe2(&ends, O_CLOEXEC | (nonBlocking ? O_NONBLOCK : 0)) }
    return DescriptorPair(owning: ends[0], ends[1])
}

/// Sets or clears `O_NONBLOCK` on a descriptor.
package func setNonBlocking(_ descriptor: Int32, _ enabled: Bool = true) throws(SystemError) {
    let flags = try check("fcntl F_GETFL") { fcntl(descriptor, F_GETFL) }
    try check("fcntl F_SETFL") { fcntl(descriptor, F_SETFL, enabled ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) }
}

/// Reads what is there, at most `limit` bytes. Empty at the end; nil where it would block.
package func readSome(_ descriptor: Int32, limit: Int = 65536) throws(SystemError) -> [UInt8]? {
    var failure: SystemError?
    let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
        while true {
            let got = read(descriptor, buffer.baseAddress, limit)
            if got >= 0 {
                count = got
                return
            }
            if errno == EINTR { continue }
            failure = SystemError("read", "descriptor \(descriptor)")
            return
        }
    }
    guard let failure else { return bytes }
    if failure.isErrno(EAGAIN) { return nil }
    throw failure
}

/// Writes what the descriptor takes. Returns how many bytes; 0 where it would block.
package func writeSome(_ descriptor: Int32, _ bytes: ArraySlice<UInt8>) throws(SystemError) -> Int {
    while true {
        let put = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if put >= 0 { return put }
        if errno == EINTR { continue }
        if errno == EAGAIN { return 0 }
        throw SystemError("write", "descriptor \(descriptor)")
    }
}

/// Writes everything to a blocking descriptor.
package func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) throws(SystemError) {
    var rest = bytes[...]
    while !rest.isEmpty { rest = rest.dropFirst(try writeSome(descriptor, rest)) }
}
