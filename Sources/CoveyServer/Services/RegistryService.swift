package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
internal import Crypto
internal import FoundationEssentials
package import GRPCCore
internal import SwiftProtobuf

/// `covey.v1.Registries`.
package struct RegistryService: Covey_V1_Registries.SimpleServiceProtocol {
    private let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func pull(
        request: Covey_V1_PullImageRequest, context call: ServerContext
    ) async throws -> Covey_V1_ImageMutation {
        if let entry = CatalogPull(context).entry(named: request.reference) {
            let made = try await CatalogPull(context).image(
                entry, tenant: try Tenant(named: request.tenant), name: request.hasName ? request.name : "\(entry)",
                labels: request.labels, requestID: context.requestID(request.requestID))
            return mutation(made.image, made.operation)
        }
        let reference = try ImageReference(request.reference).withTag
        let name = request.hasName ? request.name : reference.familiar
        try Names.checkImage(name)
        try context.validation.check(labels: request.labels)
        let tenant = try Tenant(named: request.tenant)
        let requestID = context.requestID(request.requestID)
        if let there = try await present(tenant, name, reference) { return there }
        let node = context.settings.node
        let credentials = request.hasCredentials ? RegistryCredentials(request.credentials) : nil
        let access = credentials == nil ? nil : RegistryService.access(tenant, requestID)
        if let credentials, let access {
            try await context.bounded("keeping credentials on the node") { gateway in
                try await gateway.keep(on: node, credentials, as: access)
            }
        }
        do {
            let pull = RegistryPull(reference: reference.canonical, plainHTTP: request.plainHTTP, access: access)
            let made = try await context.repositories.images.create(
                tenant, name: name, labels: request.labels,
                spec: ImageSpec(source: .registry(pull: pull), architecture: context.settings.architecture),
                node: node, requestID: requestID)
            switch made.image.status.state {
            case .pending, .building: break
            case .ready, .failed, .deleting: try await forget(access)
            }
            return mutation(made.image, made.operation)
        } catch {
            try await forget(access)
            guard let conflict = error as? CoveyError, conflict.code == .conflict, conflict.remedy == nil else {
                throw error
            }
            // Another request was faster.
            if let there = try await present(tenant, name, reference) { return there }
            throw conflict
        }
    }

    package func export(
        request: Covey_V1_ExportImageRequest, response: RPCWriter<Covey_V1_ExportImageResponse>,
        context call: ServerContext
    ) async throws {
        guard !request.name.isEmpty else { throw CoveyError(.invalid, "the request names no image") }
        let image = try await context.repositories.images.get(try Tenant(named: request.tenant), request.name)
        let resource = ResourceReference("image", image.metadata.name)
        guard let origin = image.status.origin else {
            throw CoveyError(
                .unsupported, "\(resource) has no layers",
                remedy: "only images of registries and archives of images can be exported", resource: resource)
        }
        try await context.gateway.export(on: image.status.node ?? context.settings.node, origin) { bytes in
            try await response.write(.with { $0.data = Data(bytes) })
        }
    }

    package func checkLogin(
        request: Covey_V1_CheckLoginRequest, context call: ServerContext
    ) async throws -> Covey_V1_CheckLoginResponse {
        let node = context.settings.node
        let (registry, plainHTTP) = (request.registry, request.plainHTTP)
        let credentials = RegistryCredentials(request.credentials)
        try await context.gateway.checkLogin(on: node, registry: registry, plainHTTP: plainHTTP, credentials)
        return Covey_V1_CheckLoginResponse()
    }

    /// The answer for an image that is there, or on its way, under the name; nil where there is none.
    private func present(
        _ tenant: Tenant, _ name: String, _ reference: ImageReference
    ) async throws -> Covey_V1_ImageMutation? {
        let image: Image
        do { image = try await context.repositories.images.get(tenant, name) } catch let error as CoveyError
            where error.code == .notFound
        { return nil }
        guard image.metadata.name == name else { return nil }
        guard case .registry(let pull) = image.spec.source, pull.reference == reference.canonical else {
            throw CoveyError(
                .conflict, "image \(name) is another one",
                remedy: "give this one another --name, or remove that one: "
                    + "covey image rm \(name)", resource: ResourceReference("image", name))
        }
        let operations = try await context.repositories.operations.list(tenant).items
        let id = image.metadata.id.description
        return mutation(image, operations.first { $0.spec.targetID == id && !$0.status.state.isFinal })
    }

    private func forget(_ access: String?) async throws {
        guard let access else { return }
        let node = context.settings.node
        try await context.bounded("forgetting credentials on the node") { gateway in
            try await gateway.forget(on: node, access: access)
        }
    }

    /// Under what a request's credentials are kept: nobody else's request has the same.
    private static func access(_ tenant: Tenant, _ requestID: String) -> String {
        let digits = Array("0123456789abcdef".utf8)
        let digest = SHA256.hash(data: Array("\(tenant)/\(requestID)".utf8))
        return String(decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    private func mutation(_ image: Image, _ operation: Operation?) -> Covey_V1_ImageMutation {
        var answer = Covey_V1_ImageMutation()
        answer.image = Covey_V1_Image(image)
        if let operation { answer.operation = Covey_V1_Operation(operation) }
        return answer
    }
}
