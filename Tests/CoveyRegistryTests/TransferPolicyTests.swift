import CoveyModel
import FoundationEssentials
import Testing

@testable import CoveyRegistry

@Suite("Transfer policy")
struct TransferPolicyTests {
    @Test("attempts without progress are bounded, and the pauses double up to the longest")
    func bounded() {
        var limits = TransferLimits()
        limits.attempts = 4
        limits.firstPause = .seconds(1)
        limits.longestPause = .seconds(3)
        var policy = RetryPolicy(limits)
        #expect(policy.pause(afterFailureWith: 0) == .seconds(1))
        #expect(policy.pause(afterFailureWith: 1) == .seconds(2))
        #expect(policy.pause(afterFailureWith: 1) == .seconds(3))
        #expect(policy.pause(afterFailureWith: 1) == nil)
    }

    @Test("progress gives new attempts; a byte at a time is none")
    func progress() {
        var limits = TransferLimits()
        limits.attempts = 2
        var policy = RetryPolicy(limits)
        for _ in 0..<50 { #expect(policy.pause(afterFailureWith: 1 << 20) != nil) }
        #expect(policy.pause(afterFailureWith: 1) == nil)
    }

    @Test("what the server asks to wait is waited, up to the longest pause")
    func retryAfter() {
        var policy = RetryPolicy(TransferLimits())
        #expect(policy.pause(afterFailureWith: 0, asked: .seconds(7)) == .seconds(7))
        #expect(policy.pause(afterFailureWith: 0, asked: .seconds(3600)) == TransferLimits().longestPause)
        #expect(HTTPProblem.retryAfter("12") == .seconds(12))
        #expect(HTTPProblem.retryAfter("-1") == nil)
        #expect(HTTPProblem.retryAfter("Wed, 21 Oct 2015 07:28:00 GMT") == nil)
    }

    @Test("redirects end, keep TLS, and stay with http")
    func redirects() throws {
        let start = try #require(URL(string: "https://a.example/v2/x"))
        var rule = RedirectRule(limit: 2)
        #expect(try rule.next(from: start, location: "/y?z=1").absoluteString == "https://a.example/y?z=1")
        #expect(try rule.next(from: start, location: "//b.example/y").absoluteString == "https://b.example/y")
        #expect(throws: CoveyError.self) { try rule.next(from: start, location: "/y") }
        for bad in ["http://a.example/v2/x", "file:///etc/passwd", "", "ftp://a.example/", nil] {
            var rule = RedirectRule(limit: 2)
            #expect(throws: CoveyError.self, "\(bad ?? "nil")") { try rule.next(from: start, location: bad) }
        }
    }

    @Test("an origin is scheme, host and port, whatever case and default")
    func origins() throws {
        func origin(_ text: String) throws -> HTTPOrigin? { HTTPOrigin(try #require(URL(string: text))) }
        #expect(try origin("https://A.example/x") == origin("https://a.example:443/y"))
        #expect(try origin("https://a.example/x") != origin("http://a.example/x"))
        #expect(try origin("https://a.example/x") != origin("https://a.example:444/x"))
        #expect(try origin("file:///etc") == nil)
    }

    @Test("a range header says where the bytes begin")
    func ranges() {
        #expect(ContentRange("bytes 5-9/10")?.first == 5)
        #expect(ContentRange("bytes */10") == nil)
        #expect(ContentRange("lines 5-9/10") == nil)
        #expect(ContentRange(nil) == nil)
    }
}
