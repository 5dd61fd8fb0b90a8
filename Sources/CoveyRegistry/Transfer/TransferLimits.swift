/// How long a transfer waits, and how often it tries again.
package struct TransferLimits: Hashable, Sendable {
    /// For a connection, its TLS handshake included.
    package var connect: Duration = .seconds(15)
    /// Without a single byte from the other side.
    package var stall: Duration = .seconds(30)
    /// For an answer that is read into memory.
    package var answer: Duration = .seconds(60)
    /// Attempts without any progress between them before it is given up.
    package var attempts = 5
    /// Redirects that are followed for one request.
    package var redirects = 5
    /// The wait before the second attempt; it doubles for each further one.
    package var firstPause: Duration = .milliseconds(500)
    /// The longest wait between two attempts, what a server asks for included.
    package var longestPause: Duration = .seconds(20)
    /// A transfer that brings fewer bytes than this in ``slowWindow`` counts as stalled.
    package var slowBytes: Int64 = 4096
    /// The span that ``slowBytes`` is measured over.
    package var slowWindow: Duration = .seconds(60)

    /// The limits that hold for users.
    package init() {}
}

/// When a failed attempt is repeated. A value without a clock: the caller waits.
struct RetryPolicy: Sendable {
    /// Bytes that count as progress: what brings fewer before it fails uses up an attempt.
    private static let progress: Int64 = 64 << 10

    private let limits: TransferLimits
    private var failures = 0
    private var since: Int64 = 0

    init(_ limits: TransferLimits) { self.limits = limits }

    /// How long to wait before the next attempt; nil gives up.
    ///
    /// - Parameters:
    ///   - bytes: What the failed attempt brought.
    ///   - asked: What the server asked for (`Retry-After`).
    mutating func pause(afterFailureWith bytes: Int64, asked: Duration? = nil) -> Duration? {
        since += bytes
        if since >= RetryPolicy.progress {
            failures = 0
            since = 0
        }
        failures += 1
        guard failures < limits.attempts else { return nil }
        let own = min(limits.firstPause * (1 << min(failures - 1, 16)), limits.longestPause)
        guard let asked else { return own }
        return max(own, min(asked, limits.longestPause))
    }
}
