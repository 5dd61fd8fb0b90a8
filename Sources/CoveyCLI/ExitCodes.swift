package import CoveyModel

extension ErrorCode {
    /// The one mapping to exit codes.
    package var exitCode: Int32 {
        switch self {
        case .failure, .unsupported, .corrupt, .internalError: 1
        case .invalid: 2
        case .notFound: 3
        case .conflict: 4
        case .unavailable, .outcomeUnknown: 5
        case .denied, .unauthenticated: 6
        case .exhausted: 7
        case .deadline: 124
        case .cancelled: 130
        }
    }
}

extension CoveyError {
    /// The exit code of a verb that passes a guest's codes through, as docker does it: 127 where there is no such
    /// program, 126 where it cannot be run, 125 for Covey's own failures.
    package var relayExitCode: Int32 {
        if code == .cancelled { return code.exitCode }
        if resource?.kind == "program" { return code == .notFound ? 127 : 126 }
        return 125
    }
}

/// How an error is told.
enum ErrorText {
    /// `error: what: why`, and `hint: what to do` where that is known.
    static func lines(_ error: CoveyError) -> String {
        var text = "error: \(error.description)\n"
        if let remedy = error.remedy { text += "hint: \(remedy)\n" }
        return text
    }
}
