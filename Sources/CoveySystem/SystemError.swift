package import CoveyModel
internal import Glibc

/// A system call that failed: which, on what, and the errno.
package struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The system call's name, as in its manual page.
    package let call: String
    /// What it was done on: a path, a descriptor's role, a process.
    package let subject: String
    /// The errno value.
    package let errno: Int32

    /// Makes an error from the current `errno`, or a given one.
    package init(_ call: String, _ subject: String = "", errno: Int32? = nil) {
        self.call = call
        self.subject = subject
        self.errno = errno ?? Glibc.errno
    }

    /// The C library's text for ``errno``.
    package var reason: String { String(cString: strerror(errno)) }

    /// `open /x: No such file or directory`.
    package var description: String {
        subject.isEmpty ? "\(call): \(reason)" : "\(call) \(subject): \(reason)"
    }

    /// Whether `errno` is the given one.
    package func isErrno(_ value: Int32) -> Bool { errno == value }

    /// The error as the one that crosses process borders.
    package var coveyError: CoveyError {
        CoveyError(code, description, remedy: remedy)
    }

    private var code: ErrorCode {
        switch errno {
        case ENOSPC, EDQUOT, ENOMEM, EMFILE, ENFILE: .exhausted
        case EACCES, EPERM: .denied
        case ENOENT: .notFound
        case EROFS: .unavailable
        default: .failure
        }
    }

    private var remedy: String? {
        switch errno {
        case ENOSPC, EDQUOT: "free space on that file system, or give the daemon another --root"
        case EROFS: "make the file system writable again; the daemon goes on by itself"
        case EMFILE, ENFILE: "raise the limit on open files (LimitNOFILE)"
        default: nil
        }
    }
}

extension CoveyError {
    /// Any error as a ``CoveyError``: itself, a system error mapped, or an internal failure with its text as the cause.
    package static func wrapping(_ error: any Error, _ message: String? = nil) -> CoveyError {
        let inner: CoveyError =
            switch error {
            case let error as CoveyError: error
            case let error as SystemError: error.coveyError
            case is CancellationError: CoveyError(.cancelled, "the operation was cancelled")
            default: CoveyError(.internalError, String(describing: error))
            }
        guard let message else { return inner }
        return inner.with(context: message)
    }
}
