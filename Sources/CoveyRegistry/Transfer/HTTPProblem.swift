internal import CoveyModel
internal import FoundationEssentials
internal import NIOHTTP1

/// What an answer's status means for the one who asked.
enum HTTPProblem {
    /// The failure of an answer: ``TransferFailure`` where later may help, else ``CoveyError``.
    static func of(_ status: Int, _ answer: HTTPAnswer, name: String) -> any Error {
        let host = answer.url.host() ?? "the server"
        switch status {
        case 401:
            return CoveyError(
                .unauthenticated, "\(host) wants credentials for \(name)",
                remedy: "log in: covey registry login \(host)")
        case 403:
            return CoveyError(
                .denied, "\(host) refuses \(name)", remedy: "log in as one who may: covey registry login \(host)")
        case 404, 410: return CoveyError.notFound("file", name, remedy: "check its name and the server: \(host)")
        case 408, 425, 429, 500, 502...599:
            return TransferFailure(
                description: "\(answer.url.text) answers \(status)", isTransient: true,
                pause: retryAfter(answer.headers.first(name: "Retry-After")),
                remedy: status == 429
                    ? "\(host) limits how often it is asked: wait, or log in (covey registry login)"
                    : "try again later: \(host) has trouble")
        case let other:
            return CoveyError(.failure, "\(answer.url.text) answers \(other)", retryable: false)
        }
    }

    /// Seconds of `Retry-After`; nil for its form with a date, and for nonsense.
    static func retryAfter(_ header: String?) -> Duration? {
        guard let header, let seconds = Int64(header), (0...86400).contains(seconds) else { return nil }
        return .seconds(seconds)
    }
}
