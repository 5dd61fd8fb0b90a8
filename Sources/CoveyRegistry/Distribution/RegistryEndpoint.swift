internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import NIOHTTP1
internal import Synchronization

/// One server that speaks the distribution protocol: a registry or a mirror of it.
///
/// Source: OCI distribution specification; docker's token specification (`distribution/docs/spec/auth`).
final class RegistryEndpoint: Sendable {
    private struct Token {
        var header: String
        var until: ContinuousClock.Instant
    }

    /// `https://registry-1.docker.io`.
    let base: URL
    /// What it is called in messages.
    let name: String
    private let session: HTTPSession
    private let credentials: RegistryCredentials?
    private let tokens = Mutex<[String: Token]>([:])
    private let turns = Turns<String>()

    private static let shortestLife: Duration = .seconds(60)
    private static let answerLimit = 1 << 20

    init(base: URL, name: String, session: HTTPSession, credentials: RegistryCredentials?) {
        self.base = base
        self.name = name
        self.session = session
        self.credentials = credentials
    }

    /// Asks for a manifest: its bytes and its type.
    func manifest(_ repository: String, _ selector: String) async throws -> (bytes: [UInt8], type: String?) {
        try await retrying {
            let answer = try await self.open(
                "/v2/\(repository)/manifests/\(selector)", repository,
                headers: MediaType.accepted.map { (name: "Accept", value: $0) })
            guard answer.status == 200 else {
                throw await self.problem(answer, "\(self.name)/\(repository):\(selector)")
            }
            let bytes = try await self.session.collect(answer, limit: Manifest.limit, what: "the manifest")
            return (bytes, answer.headers.first(name: "Content-Type"))
        }
    }

    /// Asks for a blob's bytes behind an offset.
    func blob(_ repository: String, _ digest: ContentDigest, from offset: Int64) async throws -> HTTPAnswer {
        let headers = offset > 0 ? [(name: "Range", value: "bytes=\(offset)-")] : []
        return try await open("/v2/\(repository)/blobs/\(digest)", repository, headers: headers)
    }

    /// Asks whether the credentials are good.
    func check() async throws {
        try await retrying {
            let answer = try await self.open("/v2/", nil)
            guard answer.status == 200 else { throw await self.problem(answer, self.name) }
        }
    }

    // MARK: requests

    /// Sends a request, with what the server wants to know of the caller.
    private func open(
        _ path: String, _ repository: String?, headers: [(name: String, value: String)] = []
    ) async throws -> HTTPAnswer {
        guard let url = URL(string: base.absoluteString + path) else {
            throw CoveyError(.invalid, "\(path) is no path of a registry")
        }
        let scope = repository.map { "repository:\($0):pull" } ?? ""
        var request = HTTPRequest(url: url, headers: headers)
        request.authorization = known(scope)
        let answer = try await session.send(request)
        guard answer.status == 401, HTTPOrigin(answer.url) == HTTPOrigin(url) else { return answer }
        let challenges = answer.headers["WWW-Authenticate"].flatMap { Challenge.read($0) }
        guard let authorization = try await authorize(challenges, scope, refused: request.authorization) else {
            return answer
        }
        request.authorization = authorization
        return try await session.send(request)
    }

    private func known(_ scope: String) -> String? {
        tokens.withLock { tokens in
            guard let token = tokens[scope], token.until > .now else { return nil }
            return token.header
        }
    }

    /// The header that answers a challenge; nil where nothing is known that does.
    private func authorize(_ challenges: [Challenge], _ scope: String, refused: String?) async throws -> String? {
        try await turns.run(scope) {
            // Another request may have asked in the meantime.
            if let header = known(scope), header != refused { return header }
            if let bearer = challenges.first(where: { $0.scheme == "bearer" }) {
                let token = try await token(bearer, scope)
                tokens.withLock { $0[scope] = token }
                return token.header
            }
            guard challenges.contains(where: { $0.scheme == "basic" }), let credentials, !credentials.user.isEmpty
            else { return nil }
            let header = credentials.basic
            guard header != refused else { return nil }
            tokens.withLock { $0[scope] = Token(header: header, until: .now + .seconds(86400)) }
            return header
        }
    }

    private struct TokenAnswer: Decodable {
        var token: String?
        var accessToken: String?
        var lifetime: Int?

        private enum CodingKeys: String, CodingKey {
            case token
            case accessToken = "access_token"
            case lifetime = "expires_in"
        }
    }

    private func token(_ challenge: Challenge, _ scope: String) async throws -> Token {
        guard let realm = challenge.parameters["realm"], let url = URL(string: realm), let origin = HTTPOrigin(url)
        else {
            throw CoveyError(.failure, "\(name) asks for a token of no service that can be found", retryable: false)
        }
        guard !(base.scheme == "https" && origin.scheme == "http") else {
            throw CoveyError(
                .failure, "\(name) sends for a token to \(origin.host) without TLS",
                remedy: "tell the one who runs the registry: nothing is sent there", retryable: false)
        }
        var fields: [(String, String)] = []
        if let service = challenge.parameters["service"] { fields.append(("service", service)) }
        for scope in (challenge.parameters["scope"] ?? scope).split(separator: " ") {
            fields.append(("scope", String(scope)))
        }
        let asked = ContinuousClock.now
        let answer = try await tokenAnswer(url, fields)
        guard answer.status == 200 else {
            if answer.status == 401 || answer.status == 403 || answer.status == 400 { throw refusal() }
            throw HTTPProblem.of(answer.status, answer, name: "a token for \(name)")
        }
        let bytes = try await session.collect(answer, limit: RegistryEndpoint.answerLimit, what: "a token")
        let decoded = try? JSONDecoder().decode(TokenAnswer.self, from: Data(bytes))
        guard let text = decoded?.token ?? decoded?.accessToken, !text.isEmpty,
            text.utf8.allSatisfy({ $0 > 32 && $0 < 127 })
        else {
            throw CoveyError(.failure, "\(origin.host) answers with no token for \(name)", retryable: false)
        }
        let life = max(RegistryEndpoint.shortestLife, .seconds(min(decoded?.lifetime ?? 60, 86400)))
        return Token(header: "Bearer \(text)", until: asked + life * 9 / 10)
    }

    private func tokenAnswer(_ url: URL, _ fields: [(String, String)]) async throws -> HTTPAnswer {
        if let identity = credentials?.identityToken {
            var form = fields
            form += [("grant_type", "refresh_token"), ("refresh_token", identity), ("client_id", "covey")]
            return try await session.send(
                HTTPRequest(
                    method: .POST, url: url,
                    headers: [(name: "Content-Type", value: "application/x-www-form-urlencoded")],
                    body: Array(FormText.encode(form).utf8)))
        }
        var form = fields
        if let user = credentials?.user, !user.isEmpty { form.append(("account", user)) }
        let sign = url.query() == nil ? "?" : "&"
        guard let full = URL(string: url.absoluteString + sign + FormText.encode(form)) else {
            throw CoveyError(.failure, "\(name) names no address for tokens", retryable: false)
        }
        var request = HTTPRequest(url: full)
        if let credentials, !credentials.user.isEmpty { request.authorization = credentials.basic }
        return try await session.send(request)
    }

    private func refusal() -> CoveyError {
        CoveyError(
            .unauthenticated,
            credentials == nil ? "\(name) wants credentials" : "\(name) does not take these credentials",
            remedy: "log in: covey registry login \(name)")
    }

    // MARK: failures

    private func retrying<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
        var policy = RetryPolicy(session.limits)
        while true {
            do {
                return try await withDeadline(session.limits.answer, "asking \(name)") { try await body() }
            } catch let failure as TransferFailure {
                guard failure.isTransient, let pause = policy.pause(afterFailureWith: 0, asked: failure.pause) else {
                    throw failure.coveyError
                }
                // Back-off, or as long as the registry asked for.
                try await Task.sleep(for: pause)
            }
        }
    }

    private struct Complaints: Decodable {
        struct Complaint: Decodable {
            var code: String?
            var message: String?
        }
        var errors: [Complaint]
    }

    /// What an answer means, in the registry's own words where it has some.
    private func problem(_ answer: HTTPAnswer, _ subject: String) async -> any Error {
        let problem: any Error
        switch answer.status {
        case 401: problem = refusal()
        case 404:
            problem = CoveyError(
                .notFound, "\(name) has no image \(subject)", remedy: "check its name and tag")
        case let status: problem = HTTPProblem.of(status, answer, name: subject)
        }
        guard var error = problem as? CoveyError,
            let bytes = try? await session.collect(answer, limit: 65536, what: "an answer"),
            let complaint = try? JSONDecoder().decode(Complaints.self, from: Data(bytes)).errors.first
        else { return problem }
        let text = complaint.message ?? complaint.code ?? ""
        if !text.isEmpty { error.causes.append(String(text.prefix(200).filter { !$0.isNewline })) }
        return error
    }
}

extension RegistryCredentials {
    /// The value of a basic `Authorization` header.
    var basic: String { "Basic " + Data("\(user):\(password)".utf8).base64EncodedString() }
}

/// `application/x-www-form-urlencoded`.
enum FormText {
    static func encode(_ fields: [(String, String)]) -> String {
        fields.map { "\(escape($0))=\(escape($1))" }.joined(separator: "&")
    }

    private static func escape(_ text: String) -> String {
        text.utf8.map { byte in
            let isPlain =
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                || "-._~".utf8.contains(byte)
            let digits = Array("0123456789ABCDEF".utf8)
            return isPlain
                ? String(decoding: [byte], as: UTF8.self)
                : String(decoding: [37, digits[Int(byte >> 4)], digits[Int(byte & 15)]], as: UTF8.self)
        }.joined()
    }
}
