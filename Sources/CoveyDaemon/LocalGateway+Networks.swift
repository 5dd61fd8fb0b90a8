package import CoveyModel
package import CoveyNetwork
internal import CoveyNode
internal import CoveyServer

/// Networks, and what machines use.
extension LocalGateway {
    package func networkFacts(on node: NodeID) async throws -> NetworkHostFacts {
        try await check(node)
        return await networks.facts()
    }

    package func portHolders(on node: NodeID, _ ports: [PublishedPort]) async throws -> [PortHolder] {
        try await check(node)
        return try await networks.holders(ports)
    }

    package func listeningPorts(on node: NodeID, of machine: VirtualMachine) async throws -> [ListeningPort] {
        try await check(node, machine)
        return try await agent.listeningPorts(of: machine.metadata.id)
    }

    package func figures(on node: NodeID, of machine: VirtualMachine) async throws -> MachineFigures {
        try await check(node, machine)
        return try await agent.figures(of: machine.metadata.id)
    }
}
