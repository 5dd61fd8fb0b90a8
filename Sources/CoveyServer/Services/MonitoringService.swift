package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
package import GRPCCore

/// `covey.v1.Monitoring`.
package struct MonitoringService: Covey_V1_Monitoring.SimpleServiceProtocol {
    private let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func version(
        request: Covey_V1_VersionRequest, context call: ServerContext
    ) async throws -> Covey_V1_VersionResponse {
        Covey_V1_VersionResponse(context.settings.version)
    }

    package func nodeFacts(
        request: Covey_V1_NodeFactsRequest, context call: ServerContext
    ) async throws -> Covey_V1_Node {
        var node: Node
        do {
            node = try await context.repositories.nodes.get(context.settings.node)
            context.lastNode.set(node)
        } catch let error as CoveyError where error.code == .unavailable {
            // Whoever asks what is wrong is told just then.
            guard let last = context.lastNode.node else { throw error }
            node = last
        }
        for condition in context.storeConditions() { node.status.conditions.set(condition) }
        return Covey_V1_Node(node)
    }

    package func listNodes(
        request: Covey_V1_ListNodesRequest, context call: ServerContext
    ) async throws -> Covey_V1_ListNodesResponse {
        let present = try await context.repositories.nodes.present()
        let nodes = try await context.repositories.nodes.list().items.map { node in
            var node = node
            let isHere = node.metadata.id == context.settings.node || present.contains(node.metadata.id)
            node.status.conditions.set(
                Condition(
                    type: "Ready", state: isHere ? .yes : .unknown, reason: isHere ? "Present" : "Silent",
                    message: isHere
                        ? "its daemon serves" : "its daemon has given no sign for \(Nodes.presence) s or more",
                    since: node.metadata.createdAt))
            return node
        }
        let page = try Page(nodes, size: request.pageSize, token: request.pageToken) { $0.metadata.name }
        var response = Covey_V1_ListNodesResponse()
        response.items = page.items.map { Covey_V1_Node($0) }
        response.nextPageToken = page.next
        return response
    }

    package func leaks(
        request: Covey_V1_LeaksRequest, context call: ServerContext
    ) async throws -> Covey_V1_LeaksResponse {
        let node = context.settings.node
        let leaks = try await context.bounded("listing what is in quarantine") { try await $0.leaks(on: node) }
        var response = Covey_V1_LeaksResponse()
        response.items = leaks.map { Covey_V1_Leak($0) }
        return response
    }

    package func usage(
        request: Covey_V1_UsageRequest, context call: ServerContext
    ) async throws -> Covey_V1_UsageResponse {
        let pruning = ImagePruning(context)
        let images: [Image]
        do { images = try await pruning.unneeded(nil, all: true) } catch let error as CoveyError
            where error.code == .corrupt
        { images = [] }
        let usage = try await pruning.usage(without: images)
        var response = Covey_V1_UsageResponse()
        response.items = usage.figures.map { Covey_V1_DiskUsage($0) }
        return response
    }

    package func purgeLeak(
        request: Covey_V1_PurgeLeakRequest, context call: ServerContext
    ) async throws -> Covey_V1_PurgeLeakResponse {
        guard !request.id.isEmpty else { throw CoveyError(.invalid, "the request names nothing to purge") }
        let node = context.settings.node
        let id = request.id
        try await context.bounded("purging \(id)") { try await $0.purge(on: node, leak: id) }
        return Covey_V1_PurgeLeakResponse()
    }
}
