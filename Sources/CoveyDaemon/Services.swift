internal import CoveyModel
internal import CoveyNode
internal import CoveyServer
internal import CoveyStore
internal import ServiceLifecycle

/// Looks after the store: leases and old history.
struct StoreService: Service {
    let store: any Store

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                try await withThrowingDiscardingTaskGroup { group in
                    group.addTask { try await store.run() }
                    group.addTask { try await store.compactRegularly() }
                }
            }
        } catch is CancellationError {
            // That is how it ends.
        }
    }
}

/// Shows the other daemons of a store that this one runs.
struct PresenceService: Service {
    let nodes: Nodes
    let node: NodeID
    let name: String

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                try await nodes.stayPresent(node, as: name, clock: StoreClock())
            }
        } catch is CancellationError {
            // That is how it ends.
        }
    }
}

/// The node agent. Stopping it leaves the machines running.
struct AgentService: Service {
    let agent: NodeAgent

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown { try await agent.run() }
        } catch is CancellationError {
            // That is how it ends.
        }
    }
}

/// The API. It lets calls that are under way end, for a moment.
struct ServerService: Service {
    let server: APIServer
    let onReady: @Sendable () -> Void

    func run() async throws {
        try await withGracefulShutdownHandler {
            try await server.run(onReady: onReady)
        } onGracefulShutdown: {
            server.beginShutdown()
        }
    }
}
