package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
package import GRPCCore

/// Further names of images, and the end of those that nothing needs.
extension ImageService {
    package func tag(
        request: Covey_V1_TagImageRequest, context call: ServerContext
    ) async throws -> Covey_V1_ImageMutation {
        let image = try await image(request.tenant, request.image)
        let name = image.metadata.name
        guard image.status.state == .ready else {
            throw CoveyError(
                .conflict, "image \(name) is \(image.status.state.rawValue)",
                remedy: "give it another name once it is ready: covey image inspect \(name)",
                resource: ResourceReference("image", name))
        }
        return try await create(
            request.name, image.spec.tag(of: image.metadata.id), try Tenant(named: request.tenant),
            labels: request.labels, requestID: request.requestID, node: image.status.node)
    }

    package func prune(
        request: Covey_V1_PruneImagesRequest, context call: ServerContext
    ) async throws -> Covey_V1_PruneImagesResponse {
        let pruning = ImagePruning(context)
        let images = try await pruning.unneeded(try Tenant(named: request.tenant), all: request.all)
        let items = request.dryRun ? try await pruning.plan(images) : try await pruning.perform(images)
        var response = Covey_V1_PruneImagesResponse()
        response.items = items.map { Covey_V1_PrunedItem($0) }
        return response
    }
}

/// Finds images that nothing needs, and removes them.
struct ImagePruning: Sendable {
    /// How long removals are waited for; they go on by themselves.
    private static let limit: Duration = .seconds(60)

    private let context: ServiceContext

    init(_ context: ServiceContext) { self.context = context }

    /// Images that could not be made; with `all`, also those that nothing uses and that can be pulled again.
    ///
    /// - Parameter tenant: Nil is all.
    /// - Throws: ``ErrorCode/corrupt`` where records cannot be read: they may need any image.
    func unneeded(_ tenant: Tenant?, all: Bool) async throws -> [Image] {
        let uses = try await context.repositories.imageUses()
        guard uses.unreadable == 0 else {
            throw CoveyError(
                .corrupt, "\(uses.unreadable) records cannot be read, and which images they need is not known",
                remedy: "see which (covey doctor --leaks), and remove images one by one: covey image rm")
        }
        let node = context.settings.node
        return try await context.repositories.images.list(tenant).items.filter { image in
            // What another node made is not this one's to remove.
            guard image.status.node == nil || image.status.node == node else { return false }
            guard uses.users[image.metadata.id] == nil else { return false }
            switch image.status.state {
            case .failed: return true
            case .ready: return all && image.spec.isPulled
            case .pending, .building, .deleting: return false
            }
        }
    }

    /// What would go, with images by their names.
    func plan(_ images: [Image]) async throws -> [PrunedItem] {
        let names = Dictionary(uniqueKeysWithValues: images.map { ("\($0.metadata.id)", $0.metadata.name) })
        return try await usage(without: images).items.map { item in
            guard item.kind == .image, let name = names[item.name] else { return item }
            return PrunedItem(kind: item.kind, name: name, freed: item.freed)
        }
    }

    /// What the node's disk is used for, and what would go with some images.
    func usage(without images: [Image]) async throws -> NodeUsage {
        let node = context.settings.node
        let ids = Set(images.map(\.metadata.id))
        return try await context.bounded("looking at the node's disk") { try await $0.usage(on: node, without: ids) }
    }

    /// Removes images and what blobs nothing needs then. Returns what went; what a machine took meanwhile has stayed.
    func perform(_ images: [Image]) async throws -> [PrunedItem] {
        let node = context.settings.node
        let planned = try await plan(images)
        for image in images {
            do {
                _ = try await context.repositories.images.requestRemoval(
                    image.metadata.id, node: node, requestID: context.requestID(""))
            } catch let error as CoveyError where error.code == .notFound {
                // Somebody else was faster.
                continue
            }
        }
        let ids = Set(images.map(\.metadata.id))
        let stayed = try await withDeadline(ImagePruning.limit, "waiting for images to be removed") {
            try await stay(ids)
        }
        let gateway = context.gateway
        try await withDeadline(ImagePruning.limit, "removing blobs that nothing needs") {
            try await gateway.collectBlobs(on: node)
        }
        let left = Set(try await usage(without: []).items.map(\.name))
        return planned.filter { $0.kind == .image ? !stayed.contains($0.name) : !left.contains($0.name) }
    }

    /// Waits until none of the images is on its way out any more. Returns the names of those that have stayed.
    private func stay(_ ids: Set<ImageID>) async throws -> Set<String> {
        guard !ids.isEmpty else { return [] }
        for try await _ in context.repositories.images.watch() {
            let left = try await context.repositories.images.list().items.filter { ids.contains($0.metadata.id) }
            if left.allSatisfy({ $0.status.state != .deleting }) { return Set(left.map(\.metadata.name)) }
        }
        throw CancellationError()
    }
}
