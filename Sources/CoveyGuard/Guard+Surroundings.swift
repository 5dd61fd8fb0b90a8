internal import CoveyModel
internal import CoveySystem
internal import Glibc

extension Guard {
    /// This program's file, as it was called at the start.
    static func programPath() throws(SystemError) -> String {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let length = try check("readlink", "/proc/self/exe") {
            buffer.withUnsafeMutableBytes { bytes in
                bytes.withMemoryRebound(to: CChar.self) { chars in
                    chars.baseAddress.map { readlink("/proc/self/exe", $0, chars.count) } ?? 0
                }
            }
        }
        let path = String(decoding: buffer.prefix(length), as: UTF8.self)
        let suffix = " (deleted)"
        return path.hasSuffix(suffix) ? String(path.dropLast(suffix.count)) : path
    }

    /// The lock that makes this the only guard of its root; inherited where this one replaces another.
    static func takeLock(_ options: GuardOptions) throws -> FileDescriptor {
        if let handover = options.handover {
            try setCloseOnExec(handover.lock)
            try setCloseOnExec(handover.state)
            return FileDescriptor(owning: handover.lock)
        }
        let lock = try openFile(options.lockPath, [.readWrite, .create, .noFollow])
        // A guard that was killed while it started a process leaves the lock to that until it calls exec.
        let pause = try EventLoop()
        let deadline = ContinuousClock.now + .milliseconds(500)
        while try !tryLock(lock.raw) {
            guard ContinuousClock.now < deadline else {
                throw CoveyError(.conflict, "a guard of \(options.runFolder) runs already")
            }
            try pause.turn(limit: .milliseconds(5))
        }
        return lock
    }

    /// After the first line: standard output to `/dev/null`, standard error to a log of bounded length.
    func detachOutput() throws(SystemError) {
        let null = try openFile("/dev/null", .readWrite)
        let log = try openFile(options.logPath, [.writeOnly, .create, .append, .truncate, .noFollow])
        try check("dup2") { dup2(null.raw, 1) }
        try check("dup2") { dup2(log.raw, 2) }
    }
}

/// Throws ``ErrorCode/denied`` where others may enter a folder.
func checkPrivateFolder(_ path: String) throws {
    var information = stat()
    try check("lstat", path) { lstat(path, &information) }
    guard information.st_mode & S_IFMT == S_IFDIR, information.st_uid == geteuid(),
        information.st_mode & 0o077 == 0
    else {
        throw CoveyError(
            .denied, "folder \(path) is open to others", remedy: "chown it to the daemon's user and chmod it to 0700")
    }
}

/// As many open files as we may have: a few per machine.
func raiseFileLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    // Where it is refused, the limit stays as it is, and a spawn that meets it says so.
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}
