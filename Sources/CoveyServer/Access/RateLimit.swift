package import CoveyModel

/// How many calls a caller may make.
package struct RateLimit: Hashable, Sendable {
    /// Calls a second in the long run.
    package var perSecond: Double
    /// Calls at once after a rest.
    package var burst: Double

    /// Makes a limit; the default only stops a loop gone wild.
    package init(perSecond: Double = 1000, burst: Double = 2000) {
        self.perSecond = perSecond
        self.burst = burst
    }
}

/// One bucket of tokens a caller.
package struct TokenBuckets: Sendable {
    private struct Bucket {
        var tokens: Double
        var filled: Duration
    }

    private let limit: RateLimit
    private var buckets: [Caller: Bucket] = [:]

    /// Full buckets.
    package init(_ limit: RateLimit) { self.limit = limit }

    /// Takes a token at a time since some fixed instant. Errors: ``ErrorCode/exhausted`` where there is none.
    package mutating func take(_ caller: Caller, at now: Duration) throws(CoveyError) {
        var bucket = buckets[caller] ?? Bucket(tokens: limit.burst, filled: now)
        let (seconds, attoseconds) = (now - bucket.filled).components
        bucket.tokens = min(
            limit.burst, bucket.tokens + (Double(seconds) + Double(attoseconds) / 1e18) * limit.perSecond)
        bucket.filled = now
        defer { buckets[caller] = bucket }
        guard bucket.tokens >= 1 else {
            throw CoveyError(
                .exhausted, "\(caller) makes more than \(Int(limit.perSecond)) calls a second",
                remedy: "call less often, or raise api.rate-limit in the daemon's configuration", retryable: true)
        }
        bucket.tokens -= 1
    }
}
