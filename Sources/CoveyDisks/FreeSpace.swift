internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Tells a full disk from other failures of a tool, without reading what the tool says.
enum FreeSpace {
    private static let low: UInt64 = 8 << 20

    /// The error itself, or ``ErrorCode/exhausted`` where a tool failed and its file system is full.
    static func explain(_ error: any Error, in folder: String, doing what: String) -> any Error {
        guard let code = (error as? CoveyError)?.code, code == .failure || code == .unavailable else { return error }
        var information = statvfs()
        guard statvfs(folder, &information) == 0 else { return error }
        let free = UInt64(information.f_bavail) * UInt64(information.f_frsize)
        let noInodes = information.f_files > 0 && information.f_favail == 0
        guard free < low || noInodes else { return error }
        return CoveyError(
            .exhausted, "\(what): no space left in \(folder)",
            remedy: "free space on that file system, or give the daemon another --root", cause: error)
    }
}
