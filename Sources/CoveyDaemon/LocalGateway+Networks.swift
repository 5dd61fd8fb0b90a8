package import CoveyModel
package import CoveyNetwork
internal import CoveyNode
internal import CoveyServer

/// Networks, and what machines use.
extension LocalGateway {
    package func networkFacts(on node: NodeID) async throws -> NetworkHostFacts {
        try check(node)
        return await networks.facts()
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
