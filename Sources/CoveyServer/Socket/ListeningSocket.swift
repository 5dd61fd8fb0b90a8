internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A bound Unix socket at its path, held by a lock that tells a live daemon's socket from one left behind.
package struct ListeningSocket: ~Copyable, Sendable {
    /// Where it is.
    package let path: String
    private let listener: FileDescriptor
    private let lock: FileDescriptor

    /// Binds in a folder that only we can enter, gives it its owner, group and mode 0660, and moves it into place.
    ///
    /// - Parameters:
    ///   - path: At most 107 bytes; a socket that nobody holds there is replaced.
    ///   - group: The group that may open it; nil leaves the process's own.
    /// - Throws: ``ErrorCode/conflict`` where another daemon serves there; ``ErrorCode/invalid`` for a path that is too
    ///   long.
    package init(path: String, group: UInt32?) throws {
        let folder = parentFolder(path)
        let hidden = "\(folder)/.covey-\(getpid())"
        // The name below the hidden folder is short, but longer than the final one's may be.
        guard path.utf8.count <= longestSocketPath, hidden.utf8.count + 2 <= longestSocketPath else {
            throw CoveyError(
                .invalid, "the socket's path \(path) is longer than \(longestSocketPath) bytes",
                remedy: "give the daemon a shorter --root")
        }
        try makeFolder(folder, mode: 0o755)
        let lock = try openFile("\(path).lock", [.readWrite, .create], mode: 0o600)
        guard flock(lock.raw, LOCK_EX | LOCK_NB) == 0 else {
            throw CoveyError(
                .conflict, "another covey daemon serves at \(path)",
                remedy: "use that one, stop it, or give this one another --root")
        }
        try removeTree(hidden)
        try makeFolder(hidden, mode: 0o700)
        do {
            let bound = "\(hidden)/s"
            let listener = try listenUnix(bound)
            if let group {
                try check("chown", path) { chown(bound, getuid(), group) }
            }
            try check("chmod", path) { chmod(bound, 0o660) }
            try check("rename", path) { rename(bound, path) }
            try removeTree(hidden)
            self.listener = listener
            self.path = path
            self.lock = lock
        } catch {
            do { try removeTree(hidden) } catch let second { throw CoveyError.wrapping(second, "\(error)") }
            throw error
        }
    }

    /// A duplicate of the listening descriptor, for a transport that closes it.
    package func duplicate() throws -> Int32 { try listener.duplicate().release() }

    /// Removes the socket's file and lets go of the lock.
    package consuming func remove() throws {
        try removeFile(path)
    }
}

/// The id of a group by name; nil where there is none. Errors: a database that cannot be read.
package func groupID(named name: String) throws -> UInt32? {
    var entry = group()
    var found: UnsafeMutablePointer<group>?
    var buffer = [CChar](repeating: 0, count: 65536)
    let failure = getgrnam_r(name, &entry, &buffer, buffer.count, &found)
    if failure != 0 && failure != ENOENT { throw SystemError("getgrnam", name, errno: failure) }
    return found == nil ? nil : entry.gr_gid
}
