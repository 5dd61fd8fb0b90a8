package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
package import GRPCCore

/// `covey.v1.Images`.
package struct ImageService: Covey_V1_Images.SimpleServiceProtocol {
    private static let standardSuite = "bookworm"

    let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func build(
        request: Covey_V1_BuildImageRequest, context call: ServerContext
    ) async throws -> Covey_V1_ImageMutation {
        var source = try ImageSpec.Source(request.source)
        let name: String
        switch source {
        case .builtIn: name = request.hasName ? request.name : "busybox"
        case .debian(let suite, let options):
            try check(suite: suite)
            try options?.check()
            name = request.hasName ? request.name : suite.isEmpty ? "debian" : "debian:\(suite)"
            if suite.isEmpty { source = .debian(suite: ImageService.standardSuite, options: options) }
        case .registry, .upload, .machine, .catalog:
            throw CoveyError(
                .invalid, "an image of this source is not built", remedy: "use register, promote or pull")
        }
        try Names.checkImage(name)
        try context.validation.check(labels: request.labels)
        do {
            let made = try await context.repositories.images.create(
                try Tenant(named: request.tenant), name: name, labels: request.labels,
                spec: ImageSpec(source: source, architecture: context.settings.architecture),
                node: context.settings.node, requestID: context.requestID(request.requestID))
            return mutation(made.image, made.operation)
        } catch var error as CoveyError where error.code == .conflict && error.remedy == nil {
            error.remedy = "use another --name, or remove it first: covey image rm \(name)"
            throw error
        }
    }

    package func get(request: Covey_V1_GetImageRequest, context call: ServerContext) async throws -> Covey_V1_Image {
        Covey_V1_Image(try await image(request.tenant, request.name))
    }

    package func list(
        request: Covey_V1_ListImagesRequest, context call: ServerContext
    ) async throws -> Covey_V1_ListImagesResponse {
        let listing = try await context.repositories.images.list(try Tenant(named: request.tenant))
        let page = try Page(listing.items, size: request.pageSize, token: request.pageToken) { $0.metadata.name }
        var response = Covey_V1_ListImagesResponse()
        response.items = page.items.map { Covey_V1_Image($0) }
        response.nextPageToken = page.next
        return response
    }

    package func delete(
        request: Covey_V1_DeleteImageRequest, context call: ServerContext
    ) async throws -> Covey_V1_ImageMutation {
        let image = try await image(request.tenant, request.name)
        let id = image.metadata.id
        // The node looks again once the image is marked; most are told here, without its being marked at all.
        try await context.repositories.imageUses().check(id, name: image.metadata.name)
        let removed = try await context.repositories.images.requestRemoval(
            id, node: context.settings.node, requestID: context.requestID(request.requestID))
        return mutation(removed.image, removed.operation)
    }

    func image(_ tenant: String, _ name: String) async throws -> Image {
        guard !name.isEmpty else { throw CoveyError(.invalid, "the request names no image") }
        return try await context.repositories.images.get(try Tenant(named: tenant), name)
    }

    private func check(suite: String) throws(CoveyError) {
        let valid =
            suite.utf8.count <= 64
            && suite.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || "-.".utf8.contains($0) }
            && suite.first != "-" && suite.first != "."
        guard valid else {
            throw CoveyError(
                .invalid, "\"\(suite)\" is no Debian suite", remedy: "use one such as bookworm, trixie or sid")
        }
    }

    func mutation(_ image: Image, _ operation: Operation?) -> Covey_V1_ImageMutation {
        var answer = Covey_V1_ImageMutation()
        answer.image = Covey_V1_Image(image)
        if let operation { answer.operation = Covey_V1_Operation(operation) }
        return answer
    }
}
