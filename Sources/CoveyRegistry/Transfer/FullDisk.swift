internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A disk that has no room.
enum FullDisk {
    /// Bytes that are free for us. Blocks.
    static func free(in folder: String) throws(SystemError) -> Int64 {
        var information = statvfs()
        try check("statvfs", folder) { statvfs(folder, &information) }
        return Int64(clamping: UInt64(information.f_bavail) * UInt64(information.f_frsize))
    }

    /// What a system call's error is to users.
    static func explain(_ error: SystemError, doing what: String) -> CoveyError {
        guard error.isErrno(ENOSPC) || error.isErrno(EDQUOT) else { return error.coveyError.with(context: what) }
        return CoveyError(
            .exhausted, "\(what): no space left on the disk",
            remedy: "free space on that file system, or give the daemon another --root", cause: error)
    }
}
