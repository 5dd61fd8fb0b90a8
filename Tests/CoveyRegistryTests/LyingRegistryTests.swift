import CoveyModel
import CoveySystem
import Crypto
import FoundationEssentials
import Synchronization
import Testing

@testable import CoveyRegistry

/// A registry with one image, whose answers a test bends.
struct FakeRegistry: Sendable {
    typealias Bending = @Sendable (FakeServer.Request, FakeServer.Answer) -> FakeServer.Answer

    let server: FakeServer
    let layer: [UInt8]
    let layerDigest: String
    let manifestDigest: String

    var reference: String { "\(server.host)/a/b:1" }

    static func digest(_ bytes: [UInt8]) -> String { "sha256:" + hexadecimal(SHA256.hash(data: bytes)) }

    init(layerSize: Int = 300_000, bend: @escaping Bending = { $1 }) throws {
        var tar = TarBytes()
        // Bytes that differ, so that a piece in a wrong place is seen.
        tar.add("file", (0..<layerSize).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) })
        let layer = tar.finished
        let layerDigest = FakeRegistry.digest(layer)
        let configuration = Array(
            #"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["\#(layerDigest)"]}}"#
                .utf8)
        let manifest = Array(
            """
            {"schemaVersion":2,"mediaType":"\(MediaType.manifest)",\
            "config":{"mediaType":"\(MediaType.configuration)","digest":"\(FakeRegistry.digest(configuration))",\
            "size":\(configuration.count)},\
            "layers":[{"mediaType":"\(MediaType.layer)","digest":"\(layerDigest)","size":\(layer.count)}]}
            """.utf8)
        let blobs = [layerDigest: layer, FakeRegistry.digest(configuration): configuration]
        server = try FakeServer { request in
            var answer = FakeServer.Answer(status: 404)
            let name = request.path.split(separator: "/").last.map { String($0) } ?? ""
            if request.path.contains("/manifests/") {
                answer = FakeServer.Answer(headers: ["Content-Type": MediaType.manifest], body: manifest)
            } else if let blob = blobs[name] {
                answer = FakeServer.Answer(body: blob)
                if let range = request.headers["range"], let first = Int(range.dropFirst(6).dropLast()),
                    first < blob.count
                {
                    answer.status = 206
                    answer.headers["Content-Range"] = "bytes \(first)-\(blob.count - 1)/\(blob.count)"
                    answer.body = Array(blob[first...])
                }
            }
            return bend(request, answer)
        }
        self.layer = layer
        self.layerDigest = layerDigest
        manifestDigest = FakeRegistry.digest(manifest)
    }

    /// Pulls the image; the folder of the puller is in it.
    func pull(_ change: (inout RegistrySettings) -> Void = { _ in }) async throws -> (Puller, String) {
        var settings = quickSettings(plainHTTP: [server.host])
        change(&settings)
        let puller = try Puller(settings)
        return (puller, try await puller.pull(reference).tree)
    }
}

@Suite("A registry that lies, stalls and breaks off", .timeLimit(.minutes(5)))
struct LyingRegistryTests {
    private func isLayer(_ request: FakeServer.Request, _ size: Int = 300_000) -> Bool {
        request.path.contains("/blobs/") && request.path.contains("sha256")
    }

    private func outcome(_ bend: @escaping FakeRegistry.Bending) async throws -> (CoveyError?, partial: [String]) {
        let registry = try FakeRegistry(bend: bend)
        let puller = try Puller(quickSettings(plainHTTP: [registry.server.host]))
        let error = await failure { _ = try await puller.pull(registry.reference) }
        return (error, try puller.stored().partial)
    }

    @Test("an honest one serves")
    func honest() async throws {
        let registry = try FakeRegistry()
        let (puller, tree) = try await registry.pull()
        #expect(try readFile("\(tree)/file").count == 300_000)
        #expect(try puller.stored().partial.isEmpty)
    }

    @Test("other bytes than the digest says are refused, and not kept")
    func wrongDigest() async throws {
        let (error, partial) = try await outcome { request, answer in
            var answer = answer
            if request.path.contains("/blobs/"), answer.body.count > 1000 { answer.body[700] ^= 1 }
            return answer
        }
        #expect(error?.code == .corrupt)
        #expect(error?.message.contains("digest") == true)
        #expect(partial.isEmpty)
    }

    @Test("another size than the manifest says is refused", arguments: [-1, 1, 100_000])
    func wrongSize(_ more: Int) async throws {
        let (error, partial) = try await outcome { request, answer in
            var answer = answer
            if request.path.contains("/blobs/"), answer.body.count > 1000 {
                answer.body =
                    more < 0 ? Array(answer.body.dropLast(-more)) : answer.body + [UInt8](repeating: 0, count: more)
            }
            return answer
        }
        #expect(error?.code == .corrupt)
        #expect(partial.isEmpty)
    }

    @Test("a manifest that is not the one asked for by digest is refused")
    func wrongManifest() async throws {
        let registry = try FakeRegistry()
        let puller = try Puller(quickSettings(plainHTTP: [registry.server.host]))
        let other = "sha256:" + String(repeating: "a", count: 64)
        let error = await failure { _ = try await puller.pull("\(registry.server.host)/a/b@\(other)") }
        #expect(error?.code == .corrupt)
    }

    @Test("redirects without end are not followed for ever")
    func redirects() async throws {
        let (error, _) = try await outcome { request, _ in
            FakeServer.Answer(status: 307, headers: ["Location": "\(request.path)x"])
        }
        #expect(error?.code == .failure)
        #expect(error?.message.contains("redirects without end") == true)
    }

    @Test("credentials do not follow a redirect to another origin")
    func redirectedCredentials() async throws {
        let other = try FakeRegistry()
        let target = other.server.host
        let registry = try FakeRegistry { request, answer in
            if request.headers["authorization"] == nil {
                return FakeServer.Answer(status: 401, headers: ["WWW-Authenticate": "Basic realm=\"x\""])
            }
            guard request.path.contains("/blobs/") else { return answer }
            return FakeServer.Answer(status: 307, headers: ["Location": "http://\(target)\(request.path)?signed=1"])
        }
        let puller = try Puller(quickSettings(plainHTTP: [registry.server.host]))
        try await puller.access.keep(RegistryCredentials(user: "ann", password: "secret"), as: "a")
        // The layer's path has no query in the other registry's table: what counts is what it was sent.
        _ = await failure { _ = try await puller.pull(registry.reference, access: "a") }
        #expect(!other.server.seen.isEmpty)
        #expect(other.server.seen.allSatisfy { $0.headers["authorization"] == nil })
        #expect(registry.server.seen.contains { $0.headers["authorization"] != nil })
    }

    @Test("one that wants credentials again and again is given up, after one try with them")
    func endlessChallenge() async throws {
        let registry = try FakeRegistry { _, _ in
            FakeServer.Answer(status: 401, headers: ["WWW-Authenticate": "Basic realm=\"x\""])
        }
        let puller = try Puller(quickSettings(plainHTTP: [registry.server.host]))
        try await puller.access.keep(RegistryCredentials(user: "ann", password: "secret"), as: "a")
        let error = await failure { _ = try await puller.pull(registry.reference, access: "a") }
        #expect(error?.code == .unauthenticated)
        #expect(registry.server.seen.count <= 3)
    }

    @Test("a token is fetched from the service that is named, with scope, and used until it ends")
    func bearer() async throws {
        let host = Mutex("")
        let registry = try FakeRegistry { request, answer in
            if request.path.hasPrefix("/token") {
                return FakeServer.Answer(body: Array(#"{"token":"abc","expires_in":300}"#.utf8))
            }
            guard request.headers["authorization"] == "Bearer abc" else {
                let realm = host.withLock { $0 }
                return FakeServer.Answer(
                    status: 401,
                    headers: [
                        "WWW-Authenticate":
                            "Bearer realm=\"http://\(realm)/token\",service=\"the service\",scope=\"repository:a/b:pull\""
                    ])
            }
            return answer
        }
        host.withLock { $0 = registry.server.host }
        _ = try await registry.pull()
        let tokens = registry.server.seen.filter { $0.path.hasPrefix("/token") }
        #expect(tokens.count == 1)
        #expect(tokens.first?.path == "/token?service=the%20service&scope=repository%3Aa%2Fb%3Apull")
    }

    @Test("an identity token is sent as a form, and not to the registry")
    func identityToken() async throws {
        let host = Mutex("")
        let registry = try FakeRegistry { request, answer in
            if request.path.hasPrefix("/token") {
                return request.method == "POST"
                    ? FakeServer.Answer(body: Array(#"{"access_token":"abc"}"#.utf8)) : FakeServer.Answer(status: 405)
            }
            guard request.headers["authorization"] == "Bearer abc" else {
                let realm = host.withLock { $0 }
                return FakeServer.Answer(
                    status: 401, headers: ["WWW-Authenticate": "Bearer realm=\"http://\(realm)/token\""])
            }
            return answer
        }
        host.withLock { $0 = registry.server.host }
        let puller = try Puller(quickSettings(plainHTTP: [registry.server.host]))
        try await puller.access.keep(RegistryCredentials(user: "", password: "", identityToken: "refresh"), as: "a")
        _ = try await puller.pull(registry.reference, access: "a")
    }

    @Test("a cut is gone on with behind what came, and ends in the same bytes")
    func cuts() async throws {
        let registry = try FakeRegistry(layerSize: 2_000_000) { request, answer in
            var answer = answer
            if request.path.contains("/blobs/"), answer.body.count > 600_000 { answer.cutAfter = 600_000 }
            return answer
        }
        let (puller, tree) = try await registry.pull()
        #expect(try readFile("\(tree)/file").count == 2_000_000)
        #expect(registry.server.seen.contains { $0.headers["range"] != nil })
        #expect(try puller.stored().partial.isEmpty)
    }

    @Test("a server that ignores ranges is read from the start")
    func noRanges() async throws {
        let registry = try FakeRegistry { request, answer in
            var answer = answer
            guard request.path.contains("/blobs/"), answer.body.count > 1000 else { return answer }
            if request.count == 1 { answer.cutAfter = 150_000 }
            return answer
        }
        _ = try await registry.pull()
        let ignoring = try FakeRegistry { request, answer in
            var answer = answer
            guard answer.status == 206 || answer.body.count > 1000 else { return answer }
            if request.count == 1, request.path.contains("/blobs/") { answer.cutAfter = 150_000 }
            return answer
        }
        _ = try await ignoring.pull()
        let whole = ignoring.layer
        let deaf = try FakeRegistry { request, answer in
            var answer = answer
            guard request.path.contains("/blobs/"), answer.body.count > 1000 else { return answer }
            if request.count == 1 {
                answer.cutAfter = 150_000
                return answer
            }
            return FakeServer.Answer(body: whole)
        }
        _ = try await deaf.pull()
    }

    @Test("one that breaks off again and again without progress is given up")
    func breaksOff() async throws {
        let (error, _) = try await outcome { request, answer in
            var answer = answer
            if request.path.contains("/blobs/"), answer.body.count > 1000 { answer.cutAfter = 10 }
            return answer
        }
        #expect(error?.code == .unavailable)
    }

    @Test("silence ends at its deadline")
    func stalls() async throws {
        let registry = try FakeRegistry { request, answer in
            var answer = answer
            if request.path.contains("/blobs/"), answer.body.count > 1000 {
                answer.cutAfter = 20_000
                answer.stalls = true
            }
            return answer
        }
        let begin = ContinuousClock.now
        let error = await failure {
            _ = try await registry.pull {
                $0.transfer.stall = .milliseconds(200)
                $0.transfer.attempts = 3
            }
        }
        #expect(error?.code == .unavailable)
        #expect(ContinuousClock.now - begin < .seconds(20))
    }

    @Test("a trickle is no progress")
    func trickle() async throws {
        let registry = try FakeRegistry { request, answer in
            var answer = answer
            if request.path.contains("/blobs/"), answer.body.count > 1000 { answer.drip = .milliseconds(20) }
            return answer
        }
        let error = await failure {
            _ = try await registry.pull {
                $0.transfer.slowWindow = .milliseconds(300)
                $0.transfer.slowBytes = 100_000
                $0.transfer.attempts = 2
            }
        }
        #expect(error?.code == .unavailable)
    }

    @Test("trouble that passes is waited for, and what passes not is told", arguments: [429, 500, 503])
    func trouble(_ status: Int) async throws {
        let registry = try FakeRegistry { request, answer in
            request.count <= 2
                ? FakeServer.Answer(status: status, headers: ["Retry-After": "0"]) : answer
        }
        _ = try await registry.pull()
        let (error, _) = try await outcome { _, _ in FakeServer.Answer(status: status) }
        #expect(error?.code == .unavailable)
        #expect(error?.retryable == true)
    }

    @Test("documents without end are cut off", arguments: ["manifest", "index", "html"])
    func documents(_ kind: String) async throws {
        let (error, _) = try await outcome { request, answer in
            var answer = answer
            guard request.path.contains("/manifests/") else { return answer }
            switch kind {
            case "manifest": answer.body = [UInt8](repeating: 32, count: Manifest.limit + 1)
            case "index": answer.body = Array((String(repeating: "[", count: 100_000)).utf8)
            case _: answer.body = Array("<html>".utf8)
            }
            return answer
        }
        #expect(error?.code == .corrupt || error?.code == .exhausted)
    }

    @Test("docker's first form is refused with the reason")
    func schemaOne() async throws {
        let (error, _) = try await outcome { request, answer in
            var answer = answer
            if request.path.contains("/manifests/") {
                answer.headers["Content-Type"] = "application/vnd.docker.distribution.manifest.v1+prettyjws"
                answer.body = Array(#"{"schemaVersion":1,"fsLayers":[]}"#.utf8)
            }
            return answer
        }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("schema 1") == true)
    }

    @Test("two pulls at once of the same blobs fetch each once")
    func once() async throws {
        let registry = try FakeRegistry()
        let puller = try Puller(quickSettings(plainHTTP: [registry.server.host]))
        try await withThrowingTaskGroup { group in
            for index in 0..<4 {
                group.addTask { _ = try await puller.pull(registry.reference, into: "tree\(index)") }
            }
            try await group.waitForAll()
        }
        let blobs = registry.server.seen.filter { $0.path.contains("/blobs/") }
        #expect(blobs.count == 2)
    }
}
