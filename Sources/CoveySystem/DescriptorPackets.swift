internal import CCovey
internal import Glibc

/// The most descriptors that one packet carries.
package let mostDescriptorsInPacket = 48

/// A packet with the descriptors that came along.
package struct ReceivedPacket: Sendable {
    /// The bytes; empty at the end of the connection.
    package var bytes: [UInt8]
    /// The descriptors, each the caller's to close, close-on-exec.
    package var descriptors: [Int32]
}

/// Sends one packet with descriptors. Returns false where it would block.
package func sendPacket(_ socket: Int32, _ bytes: [UInt8], descriptors: [Int32] = []) throws(SystemError) -> Bool {
    while true {
        if covey_send_descriptors(socket, bytes, bytes.count, descriptors, descriptors.count) >= 0 { return true }
        if errno == EINTR { continue }
        if errno == EAGAIN { return false }
        throw SystemError("sendmsg", "descriptor \(socket)")
    }
}

/// Receives one packet. Nil where it would block. Errors: `EMSGSIZE` where it was longer than `limit` or carried
/// more descriptors than allowed; these are closed then.
package func receivePacket(_ socket: Int32, limit: Int) throws(SystemError) -> ReceivedPacket? {
    var descriptors = [Int32](repeating: -1, count: mostDescriptorsInPacket)
    var failure: SystemError?
    var count = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, used in
        while true {
            count = descriptors.count
            let got = covey_receive_descriptors(socket, buffer.baseAddress, limit, &descriptors, &count)
            if got >= 0 {
                used = got
                return
            }
            if errno == EINTR { continue }
            failure = SystemError("recvmsg", "descriptor \(socket)")
            return
        }
    }
    if let failure {
        if failure.isErrno(EAGAIN) { return nil }
        throw failure
    }
    return ReceivedPacket(bytes: bytes, descriptors: Array(descriptors.prefix(count)))
}

/// Who is at the other end of a Unix socket, as the kernel saw it at connect.
package struct PeerCredentials: Hashable, Sendable {
    /// Its pid.
    package let pid: Int32
    /// Its effective uid.
    package let user: UInt32
    /// Its effective gid.
    package let group: UInt32

    /// Asks the kernel (SO_PEERCRED).
    package init(of socket: Int32) throws(SystemError) {
        var pid: pid_t = 0
        var user: uid_t = 0
        var group: gid_t = 0
        try check("getsockopt SO_PEERCRED") { covey_peer_credentials(socket, &pid, &user, &group) }
        self.pid = pid
        self.user = user
        self.group = group
    }
}

/// An anonymous file in memory, close-on-exec, positioned at its start after `bytes` were written.
package func memoryFile(named name: String, _ bytes: [UInt8]) throws(SystemError) -> FileDescriptor {
    let file = FileDescriptor(owning: try check("memfd_create", name) { covey_memfd_create(name) })
    try writeAll(file.raw, bytes)
    try check("lseek", name) { lseek(file.raw, 0, SEEK_SET) }
    return file
}

/// Sets or clears close-on-exec.
package func setCloseOnExec(_ descriptor: Int32, _ enabled: Bool = true) throws(SystemError) {
    try check("fcntl F_SETFD") { fcntl(descriptor, F_SETFD, enabled ? FD_CLOEXEC : 0) }
}

/// Takes a file's exclusive lock (flock(2)), held until the last duplicate of the descriptor closes.
/// False where another holds it.
package func tryLock(_ descriptor: Int32) throws(SystemError) -> Bool {
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
        if errno == EWOULDBLOCK { return false }
        if errno != EINTR { throw SystemError("flock", "descriptor \(descriptor)") }
    }
    return true
}
