internal import CoveyAPI
package import CoveyModel
internal import GRPCCore

extension CoveyClient {
    /// Asks for an image of a registry; one that is there is answered without an operation.
    package func pullImage(
        _ reference: String, name: String? = nil, plainHTTP: Bool = false, credentials: RegistryCredentials? = nil,
        labels: [String: String] = [:], requestID: String = requestID()
    ) async throws -> (image: Image, operation: Operation?) {
        var message = Covey_V1_PullImageRequest()
        message.tenant = tenant
        message.requestID = requestID
        message.reference = reference
        if let name { message.name = name }
        message.plainHTTP = plainHTTP
        if let credentials { message.credentials = Covey_V1_RegistryCredentials(credentials) }
        message.labels = labels
        let request = message
        return try await repeatable {
            let answer = try await registries.pull(request, options: options)
            return (try Image(answer.image), answer.hasOperation ? try Operation(answer.operation) : nil)
        }
    }

    /// An image of layers as an OCI layout in one tar, piece by piece.
    package func exportImage(
        _ name: String, output: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        var message = Covey_V1_ExportImageRequest()
        message.tenant = tenant
        message.name = name
        let request = message
        try await once {
            try await registries.export(request, options: streamOptions) { response in
                for try await part in response.messages { try await output([UInt8](part.data)) }
            }
        }
    }

    /// Asks a registry, through the daemon, whether it takes credentials. Errors: ``ErrorCode/unauthenticated``.
    package func checkLogin(
        registry: String, plainHTTP: Bool = false, _ credentials: RegistryCredentials
    ) async throws {
        var message = Covey_V1_CheckLoginRequest()
        message.tenant = tenant
        message.registry = registry
        message.plainHTTP = plainHTTP
        message.credentials = Covey_V1_RegistryCredentials(credentials)
        let request = message
        var patient = streamOptions
        patient.timeout = .seconds(120)
        let options = patient
        _ = try await once { try await registries.checkLogin(request, options: options) }
    }
}
