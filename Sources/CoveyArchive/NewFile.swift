internal import CoveyModel
internal import Glibc

/// A file that is written before it has its name; without one it goes away with its owner, whatever ends that.
final class NewFile {
    // O_TMPFILE; source: asm-generic/fcntl.h.
    private static let unnamed: Int32 = 0o20_200_000

    let descriptor: Int32
    private let parent: Int32
    /// Its name beside its place, where the file system gives no file without a name.
    private let name: [UInt8]?

    /// Makes one in an open folder, which must outlive it.
    init(in parent: Int32, _ path: [UInt8]) throws {
        self.parent = parent
        if access("/proc/self/fd", X_OK) == 0 {
            let opened = openat(parent, ".", NewFile.unnamed | O_WRONLY | O_CLOEXEC, 0o600)
            if opened >= 0 {
                descriptor = opened
                name = nil
                return
            }
            guard [EOPNOTSUPP, EISDIR, EINVAL, ENOENT].contains(errno) else { throw problem("making", path) }
        }
        let beside = temporaryName()
        descriptor = withPath(beside) { openat(parent, $0, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600) }
        guard descriptor >= 0 else { throw problem("making", path) }
        name = beside
    }

    deinit {
        close(descriptor)
        // Its other name, where it has one, stays.
        if let name { _ = withPath(name) { unlinkat(parent, $0, 0) } }
    }

    /// Gives it a name in its folder. Returns 0, or -1 with `errno`.
    func link(to new: [UInt8]) -> Int32 {
        if let name {
            return withPath(name) { old in withPath(new) { linkat(parent, old, parent, $0, 0) } }
        }
        return withPath(new) { linkat(AT_FDCWD, "/proc/self/fd/\(descriptor)", parent, $0, AT_SYMLINK_FOLLOW) }
    }
}
