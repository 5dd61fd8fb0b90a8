package import CoveyModel
internal import CoveyRegistry
internal import CoveyServer

/// Registries, and what callers are known by there.
extension LocalGateway {
    package func keep(on node: NodeID, _ credentials: RegistryCredentials, as token: String) async throws {
        try await check(node)
        try await registries.keep(credentials, as: token)
    }

    package func export(
        on node: NodeID, _ origin: ImageOrigin, output: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        try await check(node)
        try await layers.export(origin, output: output)
    }

    package func forget(on node: NodeID, access token: String) async throws {
        try await check(node)
        try await registries.forget(token)
    }

    package func checkLogin(
        on node: NodeID, registry: String, plainHTTP: Bool, _ credentials: RegistryCredentials
    ) async throws {
        try await check(node)
        try await registries.check(registry, plainHTTP: plainHTTP, credentials)
    }
}
