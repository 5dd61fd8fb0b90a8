package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
package import GRPCCore

/// `covey.v1.Operations`.
package struct OperationService: Covey_V1_Operations.SimpleServiceProtocol {
    private let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func get(
        request: Covey_V1_GetOperationRequest, context call: ServerContext
    ) async throws -> Covey_V1_Operation {
        Covey_V1_Operation(try await operation(request.tenant, request.id))
    }

    package func list(
        request: Covey_V1_ListOperationsRequest, context call: ServerContext
    ) async throws -> Covey_V1_ListOperationsResponse {
        let listing = try await context.repositories.operations.list(try Tenant(named: request.tenant))
        let page = try Page(listing.items, size: request.pageSize, token: request.pageToken) {
            $0.metadata.id.description
        }
        var response = Covey_V1_ListOperationsResponse()
        response.items = page.items.map { Covey_V1_Operation($0) }
        response.nextPageToken = page.next
        return response
    }

    package func watch(
        request: Covey_V1_WatchOperationRequest, response: RPCWriter<Covey_V1_Operation>, context call: ServerContext
    ) async throws {
        let operation = try await operation(request.tenant, request.id)
        let id = operation.metadata.id
        let feed = OperationFeed(operation)
        let context = context
        let tenant = try Tenant(operation.metadata.tenant)
        let node = operation.spec.node ?? context.settings.node
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                defer { feed.finish() }
                try await follow(id, tenant, into: feed)
                return false
            }
            group.addTask {
                do {
                    try await context.gateway.progress(on: node, of: id) { feed.progress($0) }
                } catch let error as CoveyError where error.code == .unavailable || error.code == .notFound {
                    // The node's figures are an extra; what is stored is still watched.
                }
                return false
            }
            group.addTask {
                for await now in feed.states { try await response.write(Covey_V1_Operation(now)) }
                return true
            }
            // Once the last state is written, the node need not be waited for, nor does it count how that ends.
            while let written = try await group.next() {
                guard written else { continue }
                return group.cancelAll()
            }
        }
    }

    package func cancel(
        request: Covey_V1_CancelOperationRequest, context call: ServerContext
    ) async throws -> Covey_V1_Operation {
        let operation = try await operation(request.tenant, request.id)
        return Covey_V1_Operation(try await context.repositories.operations.requestCancel(operation.metadata.id))
    }

    private func follow(_ id: OperationID, _ tenant: Tenant, into feed: OperationFeed) async throws {
        for try await change in context.repositories.operations.watch(tenant) {
            switch change {
            case .listed(let listing):
                guard let now = listing.items.first(where: { $0.metadata.id == id }) else {
                    throw CoveyError.notFound("operation", id.description)
                }
                if feed.stored(now) { return }
            case .updated(let now):
                if now.metadata.id == id && feed.stored(now) { return }
            case .removed(let gone):
                if gone == id { throw CoveyError.notFound("operation", id.description) }
            case .setAside: continue
            }
        }
    }

    private func operation(_ tenant: String, _ id: String) async throws -> Operation {
        guard !id.isEmpty else { throw CoveyError(.invalid, "the request names no operation") }
        return try await context.repositories.operations.get(try Tenant(named: tenant), id)
    }
}
