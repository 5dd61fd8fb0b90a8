internal import CoveyModel
internal import CoveySystem
internal import Crypto
internal import FoundationEssentials

/// A repository in a registry with its mirrors, which are asked first.
struct RegistryRepository: Sendable {
    let reference: ImageReference
    let endpoints: [RegistryEndpoint]

    private static let dockerHost = "registry-1.docker.io"

    /// A repository. Credentials go to the registry itself, never to a mirror.
    init(
        _ reference: ImageReference, plainHTTP: Bool, credentials: RegistryCredentials?, settings: RegistrySettings,
        session: HTTPSession
    ) throws(CoveyError) {
        self.reference = reference
        var endpoints: [RegistryEndpoint] = []
        for mirror in settings.mirrors[reference.registry] ?? [] {
            var text = mirror
            while text.hasSuffix("/") { text.removeLast() }
            guard let base = URL(string: text), HTTPOrigin(base) != nil else {
                throw CoveyError(
                    .invalid, "the mirror \(mirror) is no address of http or https", remedy: "see registry.mirrors")
            }
            endpoints.append(
                RegistryEndpoint(base: base, name: base.text, session: session, credentials: nil))
        }
        endpoints.append(
            try RegistryRepository.endpoint(
                reference.registry, plainHTTP: plainHTTP, credentials: credentials, settings: settings,
                session: session))
        self.endpoints = endpoints
    }

    /// A registry's own server.
    static func endpoint(
        _ registry: String, plainHTTP: Bool, credentials: RegistryCredentials?, settings: RegistrySettings,
        session: HTTPSession
    ) throws(CoveyError) -> RegistryEndpoint {
        let scheme = plainHTTP || settings.plainHTTP.contains(registry) ? "http" : "https"
        let host = registry == "docker.io" ? dockerHost : registry
        guard let base = URL(string: "\(scheme)://\(host)"), HTTPOrigin(base) != nil else {
            throw CoveyError(.invalid, "\(registry) is no host of a registry")
        }
        return RegistryEndpoint(base: base, name: registry, session: session, credentials: credentials)
    }

    /// The manifest for a platform, verified.
    func image(_ platform: Platform) async throws -> FoundManifest {
        let first = try await manifest(reference.selector, expected: reference.digest, size: nil)
        switch first.manifest {
        case .image(let image): return FoundManifest(manifest: image, digest: first.digest, bytes: first.bytes)
        case .index(let entries):
            let chosen = try Manifest.choose(platform, from: entries)
            let second = try await manifest(chosen.digest.description, expected: chosen.digest, size: chosen.size)
            guard case .image(let image) = second.manifest else {
                throw CoveyError(
                    .unsupported, "the image's index leads to another index", remedy: "tell the one who published it")
            }
            return FoundManifest(manifest: image, digest: second.digest, bytes: second.bytes)
        }
    }

    /// The servers' bytes of a blob behind an offset, from the first that has it.
    func blob(_ digest: ContentDigest, from offset: Int64) async throws -> HTTPAnswer {
        try await first { endpoint in
            let answer = try await endpoint.blob(reference.repository, digest, from: offset)
            if endpoint !== endpoints.last, ![200, 206].contains(answer.status) {
                throw HTTPProblem.of(answer.status, answer, name: "\(digest)")
            }
            return answer
        }
    }

    private func manifest(
        _ selector: String, expected: ContentDigest?, size: Int64?
    ) async throws -> (manifest: Manifest, digest: ContentDigest, bytes: [UInt8]) {
        try await first { endpoint in
            let (bytes, type) = try await endpoint.manifest(reference.repository, selector)
            guard let digest = ContentDigest(hex: hexadecimal(SHA256.hash(data: bytes))) else {
                throw CoveyError(.internalError, "a digest is not one")
            }
            guard expected == nil || digest == expected, size == nil || size == Int64(bytes.count) else {
                throw CoveyError(
                    .corrupt, "\(endpoint.name) sends another manifest than \(selector): its digest is \(digest)",
                    remedy: "the server, or one on the way to it, sends other bytes: tell the one who runs it")
            }
            return (try Manifest.read(bytes, type: type), digest, bytes)
        }
    }

    /// Asks the servers in their order; what a mirror fails at, the next one is asked.
    private func first<T>(_ body: (RegistryEndpoint) async throws -> T) async throws -> T {
        for endpoint in endpoints.dropLast() {
            do { return try await body(endpoint) } catch let error where !(error is CancellationError) {
                // The registry itself has the last word.
                continue
            }
        }
        guard let last = endpoints.last else { throw CoveyError(.internalError, "a repository without a server") }
        return try await body(last)
    }
}
