package import CoveyAPI
internal import CoveyModel
package import GRPCCore

/// `covey.v1.Catalogs`.
package struct CatalogService: Covey_V1_Catalogs.SimpleServiceProtocol {
    private let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func list(
        request: Covey_V1_ListCatalogEntriesRequest, context call: ServerContext
    ) async throws -> Covey_V1_ListCatalogEntriesResponse {
        let kinds = try request.kinds.map { kind in try CatalogEntry.Kind(wire: kind, "kinds") }
        let entries = try await CatalogPull(context).entries(
            of: request.hasCatalog ? request.catalog : nil, insecure: request.insecure)
        var response = Covey_V1_ListCatalogEntriesResponse()
        response.items = entries.filter { kinds.isEmpty || kinds.contains($0.kind) }.map { Covey_V1_CatalogEntry($0) }
        return response
    }
}
