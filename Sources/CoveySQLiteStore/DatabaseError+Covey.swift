internal import CoveyModel
internal import GRDB

extension DatabaseError {
    /// What a failure of SQLite means to a caller.
    ///
    /// - Parameters:
    ///   - path: The store's file.
    ///   - writing: Whether a commit was under way: an input or output error then leaves its outcome unknown, since
    ///     the log may hold the commit although it could not be made durable.
    func coveyError(_ path: String, writing: Bool) -> CoveyError {
        let text = "the store \(path): \(message ?? resultCode.description)"
        return switch resultCode {
        case .SQLITE_FULL: StoreFile.full(text)
        case .SQLITE_READONLY: StoreFile.readOnly(text)
        case .SQLITE_CORRUPT, .SQLITE_NOTADB: StoreFile.damaged(path, message ?? resultCode.description)
        case .SQLITE_IOERR where writing:
            CoveyError(.outcomeUnknown, text, remedy: "look at the disk; the daemon goes on by itself")
        case .SQLITE_IOERR, .SQLITE_CANTOPEN, .SQLITE_BUSY, .SQLITE_LOCKED:
            CoveyError(.unavailable, text, remedy: "look at the disk and at who else opens the file")
        case .SQLITE_PERM, .SQLITE_AUTH:
            CoveyError(.denied, text, remedy: "give the daemon's user access to its --root")
        case .SQLITE_NOMEM: CoveyError(.exhausted, text, remedy: "give the daemon more memory", retryable: true)
        case _: CoveyError(.internalError, text, cause: self)
        }
    }
}
