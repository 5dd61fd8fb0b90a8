package import CoveyAPI
internal import CoveyModel
internal import CoveyStore
package import GRPCCore

/// `covey.v1.Events`: what happened.
package struct EventService: Covey_V1_Events.SimpleServiceProtocol {
    private let context: ServiceContext

    /// The service over what all stand on.
    package init(_ context: ServiceContext) { self.context = context }

    package func list(
        request: Covey_V1_ListEventsRequest, context call: ServerContext
    ) async throws -> Covey_V1_ListEventsResponse {
        let filter = try EventFilter(request.filter)
        let listing = try await context.repositories.events.list(try Tenant(named: request.tenant))
        let wanted = listing.items.filter(filter.takes)
        // The text of a time sorts as the time does.
        let page = try Page(wanted, size: request.pageSize, token: request.pageToken) {
            "\($0.lastSeen) \($0.metadata.id)"
        }
        var response = Covey_V1_ListEventsResponse()
        response.items = page.items.map { Covey_V1_Event($0) }
        response.nextPageToken = page.next
        return response
    }

    package func watch(
        request: Covey_V1_WatchEventsRequest, response: RPCWriter<Covey_V1_Event>, context call: ServerContext
    ) async throws {
        let filter = try EventFilter(request.filter)
        // What a listing after a gap in the watch brings again is not told again.
        var told: [EventID: Int64] = [:]
        for try await change in context.repositories.events.watch(try Tenant(named: request.tenant)) {
            let events: [Event]
            switch change {
            case .listed(let listing):
                events = listing.items
                told = told.filter { id, _ in events.contains { $0.metadata.id == id } }
            case .updated(let event): events = [event]
            case .removed(let id):
                told[id] = nil
                continue
            case .setAside: continue
            }
            for event in events where filter.takes(event) && told[event.metadata.id] != event.count {
                told[event.metadata.id] = event.count
                try await response.write(Covey_V1_Event(event))
            }
        }
    }
}
