package import CoveyModel
package import CoveyNetwork
package import Synchronization

/// The networks of a simulated host: what was asked for last, and taps that have a name and nothing else.
package final class SimulatedNetworks: NetworkHost, NameService {
    /// What the host has.
    package struct State: Sendable {
        /// What was applied last.
        package var applied = NetworkState()
        /// The names that are answered.
        package var names = NameState()
        /// Taps by their interface.
        package var taps: [InterfaceKey: String] = [:]
        /// How many taps were ever made.
        package var made = 0
        /// Calls of ``NetworkHost/apply(_:)``.
        package var applications = 0
        /// What the next calls of ``NetworkHost/apply(_:)`` throw.
        package var failure: CoveyError?
        /// What every call of ``NetworkHost/apply(_:)`` finds.
        package var problems: [NetworkProblem] = []
        /// Ports that somebody else has.
        package var holders: [PortHolder] = []
        /// What went through the interfaces.
        package var figures: [InterfaceKey: InterfaceFigures] = [:]
    }

    /// What the host has.
    package let state = Mutex(State())

    /// A host with no networks yet.
    package init() {}

    package func facts() async -> NetworkHostFacts { NetworkHostFacts(available: true) }

    package func apply(_ state: NetworkState) async throws -> [NetworkProblem] {
        try self.state.withLock { own in
            own.applications += 1
            if let failure = own.failure { throw failure }
            let wanted = Set(state.interfaces.map(\.key))
            let missing = state.interfaces.filter { one in !state.networks.contains { $0.id == one.network } }
            guard missing.isEmpty else {
                throw CoveyError(.internalError, "\(missing.count) interfaces are on no network of the state")
            }
            own.taps = own.taps.filter { wanted.contains($0.key) }
            for key in wanted.sorted() where own.taps[key] == nil {
                own.made += 1
                own.taps[key] = "tap\(own.made)"
            }
            own.applied = state
            let held = state.interfaces.compactMap { interface -> NetworkProblem? in
                guard let holder = own.holders.first(where: { interface.ports.contains($0.port) }) else { return nil }
                let who = "\(holder.program ?? "another program") (pid \(holder.pid ?? 0))"
                return NetworkProblem(
                    key: interface.key, network: interface.network,
                    error: CoveyError(.conflict, "port \(holder.port.hostPort) is held by \(who)", remedy: "end it"))
            }
            return own.problems + held
        }
    }

    package func tap(_ key: InterfaceKey) async -> String? { state.withLock { $0.taps[key] } }
    package func open(_ openings: [EgressOpening]) async throws {}
    package func figures() async throws -> [InterfaceKey: InterfaceFigures] { state.withLock { $0.figures } }
    package func holders(_ ports: [PublishedPort]) async throws -> [PortHolder] {
        state.withLock { own in own.holders.filter { ports.contains($0.port) } }
    }
    package func uninstall() async throws { state.withLock { $0 = State() } }

    package func update(_ names: NameState) async { state.withLock { $0.names = names } }
    package func problems() async -> [String] { [] }
    package func run() async throws { try await NoNames().run() }
}
