internal import CoveyAPI
internal import CoveyModel
internal import GRPCCore

extension CoveyClient {
    /// Streams a backup of all state. What came is a backup only where this returns.
    package func backup(_ output: @escaping @Sendable ([UInt8]) async throws -> Void) async throws {
        try await once {
            try await system.backup(Covey_V1_BackupRequest(), options: streamOptions) { response in
                for try await part in response.messages { try await output([UInt8](part.data)) }
            }
        }
    }
}
