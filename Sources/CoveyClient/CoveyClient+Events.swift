internal import CoveyAPI
package import CoveyModel
internal import GRPCCore

extension CoveyClient {
    /// Events in the order of their last times.
    package func listEvents(_ filter: EventFilter = EventFilter()) async throws -> [Event] {
        var all: [Event] = []
        var token = ""
        repeat {
            var message = Covey_V1_ListEventsRequest()
            message.tenant = tenant
            message.filter = Covey_V1_EventFilter(filter)
            message.pageToken = token
            let request = message
            let answer = try await repeatable { try await events.list(request, options: options) }
            all += try answer.items.converted { item throws(CoveyError) in try Event(item) }
            token = answer.nextPageToken
        } while !token.isEmpty
        return all
    }

    /// Tells `output` of the events so far and then of each new one, until it is cancelled or the daemon goes.
    package func watchEvents(
        _ filter: EventFilter = EventFilter(), output: @escaping @Sendable (Event) async throws -> Void
    ) async throws {
        var message = Covey_V1_WatchEventsRequest()
        message.tenant = tenant
        message.filter = Covey_V1_EventFilter(filter)
        let request = message
        try await once {
            try await events.watch(request, options: streamOptions) { response in
                for try await event in response.messages { try await output(try Event(event)) }
            }
        }
    }
}
