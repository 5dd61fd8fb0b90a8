internal import CCovey
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The tmpfs that holds guest memories: forks, snapshots and shared folders need them as files.
struct MemoryFileSystem: Sendable {
    /// Where it is mounted.
    let path: String

    /// Mounts it where it is not yet; idempotent.
    ///
    /// - Parameter size: The most that all guests take.
    func mountIfNeeded(size: ByteCount, instance: InstanceID) throws {
        try makeFolder(path, mode: 0o711)
        if try isMounted() { return }
        let result = covey_mount(
            "covey-\(instance)", path, "tmpfs", UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC), "mode=0711,size=\(size.bytes)")
        guard result == 0 else {
            throw SystemError("mount tmpfs", path).coveyError.with(context: "the file system for guest memories")
        }
    }

    /// Takes it away where no machine uses it; one that is in use stays.
    func unmountIfUnused() throws {
        guard try isMounted(), try listFolder(path).isEmpty else { return }
        if covey_unmount(path, 0) != 0 && errno != EBUSY { throw SystemError("umount", path) }
    }

    private func isMounted() throws -> Bool {
        // Field 5 is the mount point, with octal escapes that none of our paths needs.
        try readText("/proc/self/mountinfo").split(separator: "\n").contains { line in
            line.split(separator: " ").dropFirst(4).first.map { $0 == path } == true
        }
    }
}
