package import CoveyModel

/// The host's side where machines have no networks: tests, and hosts without the means.
package struct NoNetworks: NetworkHost {
    private let reason: String

    /// A host that says why it carries nothing.
    package init(_ reason: String = "this daemon was started without networks") { self.reason = reason }

    package func facts() async -> NetworkHostFacts { NetworkHostFacts(available: false, problems: [reason]) }

    package func apply(_ state: NetworkState) async throws -> [NetworkProblem] {
        if state == NetworkState() { return [] }
        throw CoveyError(
            .unsupported, "this host cannot carry networks: \(reason)",
            remedy: "create machines with --network none")
    }

    package func tap(_ key: InterfaceKey) async -> String? { nil }
    package func open(_ openings: [EgressOpening]) async throws {}
    package func figures() async throws -> [InterfaceKey: InterfaceFigures] { [:] }
    package func holders(_ ports: [PublishedPort]) async throws -> [PortHolder] { [] }
    package func uninstall() async throws {}
}

/// Names where nobody answers them.
package struct NoNames: NameService {
    /// Answers nothing.
    package init() {}

    package func update(_ names: NameState) async {}
    package func problems() async -> [String] { [] }

    package func run() async throws {
        let (nothing, end) = AsyncStream.makeStream(of: Never.self)
        defer { end.finish() }
        for await _ in nothing {}
        try Task.checkCancellation()
    }
}
