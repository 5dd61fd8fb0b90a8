internal import AsyncHTTPClient
package import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL

/// A request without a body, or with a small one.
struct HTTPRequest: Sendable {
    var method = HTTPMethod.GET
    var url: URL
    var headers: [(name: String, value: String)] = []
    /// Sent as the `Authorization` header to the first URL's origin alone, redirects included.
    var authorization: String?
    var body: [UInt8]?
}

/// The head of an answer; its body is read from ``body``.
struct HTTPAnswer: Sendable {
    var status: Int
    var headers: HTTPHeaders
    var url: URL
    var body: HTTPClientResponse.Body
}

/// Connections to one or several servers, for the time of one task. ``shutdown()`` has to be called at the end.
package final class HTTPSession: Sendable {
    let limits: TransferLimits
    private let client: HTTPClient

    /// A session that trusts the system's roots and those in further PEM files.
    /// Errors: ``ErrorCode/invalid`` for a file that holds no certificate.
    package init(limits: TransferLimits = TransferLimits(), trusting files: [String] = []) throws(CoveyError) {
        self.limits = limits
        var tls = TLSConfiguration.makeClientConfiguration()
        var roots: [NIOSSLCertificate] = []
        for file in files {
            do { roots += try NIOSSLCertificate.fromPEMFile(file) } catch {
                throw CoveyError(
                    .invalid, "\(file) holds no certificates", remedy: "put PEM certificates there", cause: error)
            }
        }
        if !roots.isEmpty { tls.additionalTrustRoots = [.certificates(roots)] }
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: tls, redirectConfiguration: .disallow,
            timeout: .init(connect: limits.connect.timeAmount, read: limits.stall.timeAmount),
            ignoreUncleanSSLShutdown: false)
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// Runs `body` with a session that ends with it.
    package static func with<T: Sendable>(
        limits: TransferLimits = TransferLimits(), trusting files: [String] = [],
        _ body: (HTTPSession) async throws -> T
    ) async throws -> T {
        let session = try HTTPSession(limits: limits, trusting: files)
        do {
            let value = try await body(session)
            try await session.shutdown()
            return value
        } catch {
            try await session.shutdown()
            throw error
        }
    }

    /// Ends all connections.
    package func shutdown() async throws { try await client.shutdown() }

    /// Sends a request, follows redirects, and returns the head of the last answer.
    ///
    /// Errors: ``TransferFailure``, ``CoveyError`` for a redirect that is not followed.
    func send(_ request: HTTPRequest) async throws -> HTTPAnswer {
        guard let first = HTTPOrigin(request.url) else {
            throw CoveyError(.invalid, "\(request.url.text) is no address of http or https")
        }
        var rule = RedirectRule(limit: limits.redirects)
        var url = request.url
        while true {
            let isHome = HTTPOrigin(url) == first
            var head = HTTPClientRequest(url: url.absoluteString)
            head.method = request.method
            head.headers.add(name: "User-Agent", value: "covey")
            for (name, value) in request.headers { head.headers.add(name: name, value: value) }
            if isHome, let authorization = request.authorization {
                head.headers.add(name: "Authorization", value: authorization)
            }
            if let body = request.body { head.body = .bytes(body) }
            let answer: HTTPClientResponse
            do {
                // The read timeout counts from each byte; this one is for a head that comes byte by byte.
                answer = try await client.execute(head, deadline: .distantFuture)
            } catch {
                throw TransferFailure.wrapping(error, at: url)
            }
            guard [301, 302, 303, 307, 308].contains(answer.status.code) else {
                return HTTPAnswer(
                    status: Int(answer.status.code), headers: answer.headers, url: url, body: answer.body)
            }
            guard request.body == nil else {
                throw CoveyError(.failure, "\(url.text) redirects a request that is not repeated elsewhere")
            }
            url = try rule.next(from: url, location: answer.headers.first(name: "Location"))
        }
    }

    /// The whole body of an answer. Errors: ``TransferFailure``, ``ErrorCode/exhausted`` where it is longer.
    func collect(_ answer: HTTPAnswer, limit: Int, what: String) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        do {
            for try await part in answer.body {
                guard bytes.count + part.readableBytes <= limit else {
                    throw CoveyError(
                        .exhausted, "\(what) at \(answer.url.text) is larger than \(ByteCount(Int64(limit)).rounded)",
                        remedy: "use another image: this one is beyond what Covey takes", retryable: false)
                }
                bytes += part.readableBytesView
            }
        } catch let error as CoveyError {
            throw error
        } catch {
            throw TransferFailure.wrapping(error, at: answer.url)
        }
        return bytes
    }
}

extension Duration {
    /// The same for NIO.
    var timeAmount: TimeAmount {
        let (seconds, attoseconds) = components
        return .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}
