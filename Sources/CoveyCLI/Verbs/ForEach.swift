internal import CoveyModel
internal import CoveySystem

/// Does something to each of several things; one that fails is told and does not keep the others from it.
///
/// Returns the exit code: that of the first failure.
func forEach(_ names: [String], _ body: @Sendable (String) async throws -> Void) async throws -> Int32 {
    if names.count == 1 {
        try await body(names[0])
        return 0
    }
    var code: Int32 = 0
    for name in names {
        do {
            try await body(name)
        } catch {
            let known = CoveyError.wrapping(error)
            Standard.error(ErrorText.lines(known))
            if code == 0 { code = known.code.exitCode }
            if known.code == .cancelled { return code }
        }
    }
    return code
}
