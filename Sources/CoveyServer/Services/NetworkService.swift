package import CoveyAPI
internal import CoveyModel
internal import CoveyNetwork
internal import CoveyStore
package import GRPCCore

/// `covey.v1.Networks`.
package struct NetworkService: Covey_V1_Networks.SimpleServiceProtocol {
    private let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func create(
        request: Covey_V1_CreateNetworkRequest, context call: ServerContext
    ) async throws -> Covey_V1_Network {
        let wish = try NetworkRequest(request)
        try Names.checkLabel(wish.name, kind: "network")
        try context.validation.check(labels: wish.labels)
        let facts = try await context.networks()
        guard wish.block6 == .none || facts.hasIPv6 else {
            throw CoveyError(
                .unsupported, "this host cannot carry IPv6", remedy: "leave --block6 out",
                resource: ResourceReference("network", wish.name))
        }
        return Covey_V1_Network(
            try await context.repositories.networks.create(
                try Tenant(named: request.tenant), wish, avoiding: facts.routed,
                requestID: context.requestID(request.requestID)))
    }

    package func get(
        request: Covey_V1_GetNetworkRequest, context call: ServerContext
    ) async throws -> Covey_V1_Network {
        Covey_V1_Network(
            try await context.repositories.networks.named(request.name, try Tenant(named: request.tenant)))
    }

    package func list(
        request: Covey_V1_ListNetworksRequest, context call: ServerContext
    ) async throws -> Covey_V1_ListNetworksResponse {
        let listing = try await context.repositories.networks.list(try Tenant(named: request.tenant))
        let page = try Page(listing.items, size: request.pageSize, token: request.pageToken) { $0.metadata.name }
        var response = Covey_V1_ListNetworksResponse()
        response.items = page.items.map { Covey_V1_Network($0) }
        response.nextPageToken = page.next
        return response
    }

    package func update(
        request: Covey_V1_UpdateNetworkRequest, context call: ServerContext
    ) async throws -> Covey_V1_Network {
        let change = try NetworkChange(request)
        guard !change.isEmpty else { throw CoveyError(.invalid, "the request changes nothing") }
        let networks = context.repositories.networks
        let network = try await networks.named(request.name, try Tenant(named: request.tenant))
        return Covey_V1_Network(
            try await networks.update(network.metadata.id, requestID: context.requestID(request.requestID), change))
    }

    package func delete(
        request: Covey_V1_DeleteNetworkRequest, context call: ServerContext
    ) async throws -> Covey_V1_DeleteNetworkResponse {
        guard !request.name.isEmpty else { throw CoveyError(.invalid, "the request names no network") }
        try await context.repositories.networks.remove(
            try Tenant(named: request.tenant), request.name, requestID: context.requestID(request.requestID))
        return Covey_V1_DeleteNetworkResponse()
    }
}
