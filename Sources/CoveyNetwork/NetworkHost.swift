package import CoveyModel

/// The host's side of networks: bridges, taps, addresses, the firewall. All calls may come at once and again.
package protocol NetworkHost: Sendable {
    /// What the host can do and what keeps it from doing more.
    func facts() async -> NetworkHostFacts

    /// Makes the host carry exactly `state`, and nothing else of this instance: bridges with their addresses, taps,
    /// the firewall in one transaction, published ports. What exists already and fits is not touched: connections
    /// stand. Taps that a VMM holds open keep their names, and stay, closed, where no interface names them. Calls that come while one runs are taken together.
    ///
    /// Returns what could not be carried, by interface or network; the rest is. Errors: ``ErrorCode/unsupported``
    /// where the host cannot carry networks at all, ``ErrorCode/unavailable`` where it may later.
    func apply(_ state: NetworkState) async throws -> [NetworkProblem]

    /// The name of an interface's tap, which the VMM's process opens; nil before ``apply(_:)`` has made it.
    func tap(_ key: InterfaceKey) async -> String?

    /// Opens addresses for the time that a name's answer is good for. Returns when packets pass.
    func open(_ openings: [EgressOpening]) async throws

    /// What went through the interfaces of the state.
    func figures() async throws -> [InterfaceKey: InterfaceFigures]

    /// Who listens on or holds the ports already; empty where all are free. For a clear error before a machine is made.
    func holders(_ ports: [PublishedPort]) async throws -> [PortHolder]

    /// Takes away all that this instance ever made, and puts settings back to what they were before.
    func uninstall() async throws
}

/// What a host can do for networks.
package struct NetworkHostFacts: Hashable, Sendable {
    /// Whether machines can have networks.
    package var available: Bool
    /// Why not, or what to do, one sentence each.
    package var problems: [String]
    /// Whether IPv6 can be carried.
    package var hasIPv6: Bool
    /// Blocks that are routed on the host already, which a new network avoids.
    package var routed: [AddressBlock]

    /// Makes facts.
    package init(available: Bool, problems: [String] = [], hasIPv6: Bool = false, routed: [AddressBlock] = []) {
        self.available = available
        self.problems = problems
        self.hasIPv6 = hasIPv6
        self.routed = routed
    }
}

/// Something of a state that a host could not carry.
package struct NetworkProblem: Hashable, Sendable {
    /// The interface that it is about; nil where it is about the network.
    package var key: InterfaceKey?
    /// The network that it is about.
    package var network: NetworkID
    /// What is wrong.
    package var error: CoveyError

    /// Makes a problem.
    package init(key: InterfaceKey? = nil, network: NetworkID, error: CoveyError) {
        self.key = key
        self.network = network
        self.error = error
    }
}

/// Who has a port that is to be published.
package struct PortHolder: Hashable, Sendable {
    /// The port.
    package var port: PublishedPort
    /// The process; nil where it cannot be seen.
    package var pid: Int32?
    /// Its name.
    package var program: String?

    /// Makes a holder.
    package init(port: PublishedPort, pid: Int32? = nil, program: String? = nil) {
        self.port = port
        self.pid = pid
        self.program = program
    }
}
