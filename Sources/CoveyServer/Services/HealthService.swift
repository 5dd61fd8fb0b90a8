package import CoveyAPI
package import GRPCCore
internal import Synchronization

/// Whether services serve; watchers see each change.
package final class HealthStatus: Sendable {
    /// What is said of a service.
    package enum Serving: Hashable, Sendable { case serving, notServing, unknownService }

    private struct State {
        var services: [String: Serving]
        var watchers: [UInt64: AsyncStream<Void>.Continuation] = [:]
        var next: UInt64 = 0
    }

    private let state: Mutex<State>

    /// All services, and the server as a whole under the empty name.
    package init(services: [String], serving: Bool = true) {
        let value = serving ? Serving.serving : .notServing
        var all: [String: Serving] = ["": value]
        for service in services { all[service] = value }
        state = Mutex(State(services: all))
    }

    /// Sets what is said of all services.
    package func set(serving: Bool) {
        state.withLock { state in
            for service in state.services.keys { state.services[service] = serving ? .serving : .notServing }
            for watcher in state.watchers.values { watcher.yield() }
        }
    }

    func status(of service: String) -> Serving { state.withLock { $0.services[service] ?? .unknownService } }

    /// A tick now and after each change.
    func changes() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let number = state.withLock { state in
            state.next += 1
            state.watchers[state.next] = continuation
            return state.next
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { state in _ = state.watchers.removeValue(forKey: number) }
        }
        continuation.yield()
        return stream
    }
}

/// `grpc.health.v1.Health`. Source: gRPC's health checking protocol.
package struct HealthService: Grpc_Health_V1_Health.SimpleServiceProtocol {
    private let status: HealthStatus

    /// The service over a status.
    package init(_ status: HealthStatus) { self.status = status }

    package func check(
        request: Grpc_Health_V1_HealthCheckRequest, context: ServerContext
    ) async throws -> Grpc_Health_V1_HealthCheckResponse {
        let serving = status.status(of: request.service)
        guard serving != .unknownService else {
            throw RPCError(code: .notFound, message: "service \(request.service) is not known")
        }
        return answer(serving)
    }

    package func watch(
        request: Grpc_Health_V1_HealthCheckRequest, response: RPCWriter<Grpc_Health_V1_HealthCheckResponse>,
        context: ServerContext
    ) async throws {
        var last: HealthStatus.Serving?
        for await _ in status.changes() {
            let now = status.status(of: request.service)
            guard now != last else { continue }
            last = now
            try await response.write(answer(now))
        }
    }

    private func answer(_ serving: HealthStatus.Serving) -> Grpc_Health_V1_HealthCheckResponse {
        var response = Grpc_Health_V1_HealthCheckResponse()
        switch serving {
        case .serving: response.status = .serving
        case .notServing: response.status = .notServing
        case .unknownService: response.status = .serviceUnknown
        }
        return response
    }
}
