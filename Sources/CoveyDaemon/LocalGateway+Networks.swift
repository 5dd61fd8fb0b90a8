package import CoveyModel
package import CoveyNetwork
internal import CoveyNode
internal import CoveyServer

/// Networks, and what machines use.
extension LocalGateway {
    package func networkFacts(on node: NodeID) async throws -> NetworkHostFacts {
        try check(node)
        return await networkFacts.value()
    }

    package func portHolders(on node: NodeID, _ ports: [PublishedPort]) async throws -> [PortHolder] {
        try check(node)
        return try await networks.holders(ports)
    }

    package func listeningPorts(on node: NodeID, of machine: VirtualMachine) async throws -> [ListeningPort] {
        try check(node)
        return try await agent.listeningPorts(of: machine.metadata.id)
    }

    package func figures(on node: NodeID, of machine: VirtualMachine) async throws -> MachineFigures {
        try check(node)
        return try await agent.figures(of: machine.metadata.id)
    }
}

/// What the host can do for networks, looked at once in a while: every creation of a machine asks.
actor NetworkFactsCache {
    private static let lifetime = Duration.seconds(10)

    private let host: any NetworkHost
    private var facts: (value: NetworkHostFacts, read: ContinuousClock.Instant)?

    init(_ host: any NetworkHost) { self.host = host }

    /// The facts, at most some seconds old.
    func value() async -> NetworkHostFacts {
        if let facts, facts.read.duration(to: .now) < NetworkFactsCache.lifetime { return facts.value }
        let value = await host.facts()
        facts = (value, .now)
        return value
    }
}
