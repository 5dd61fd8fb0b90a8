internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The program `covey-guard`.
package enum GuardProgram {
    /// Runs a guard until it is told to end. Returns the exit code: 0; 2 usage; 4 where a guard runs already; 6 where
    /// its folder is not private; 1 for other failures.
    package static func run(_ arguments: [String]) -> Int32 {
        if arguments == ["--version"] {
            print("covey-guard \(CoveyVersion.current)")
            return 0
        }
        do {
            let options = try GuardOptions(arguments)
            try Guard(options).run()
            return 0
        } catch {
            let error = CoveyError.wrapping(error)
            note("\(error)")
            if let remedy = error.remedy { note("hint: \(remedy)") }
            if error.code == .invalid { note(GuardOptions.usage) }
            return exitCode(error.code)
        }
    }

    private static func exitCode(_ code: ErrorCode) -> Int32 {
        switch code {
        case .invalid: 2
        case .conflict: 4
        case .denied: 6
        case .notFound, .unavailable, .unauthenticated, .exhausted, .deadline, .cancelled, .outcomeUnknown,
            .unsupported, .corrupt, .failure, .internalError:
            1
        }
    }
}
