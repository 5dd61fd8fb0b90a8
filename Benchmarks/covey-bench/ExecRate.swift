internal import CoveyClient
internal import CoveyModel

/// `exec` of `true` over one connection, against the cheapest call of the API (version) over the same connection.
struct ExecRate {
    let socket: String
    let machine: String
    let calls: Int
    let pairs: Int

    /// Seconds of each round of calls: `exec`, `version`.
    func run() async throws -> [String: [Double]] {
        try await CoveyClient.connect(to: DaemonEndpoint(socket: socket)) { client in
            var result: [String: [Double]] = ["exec": [], "version": []]
            try await execs(client, 3)
            for _ in 0..<pairs {
                result["version"]?.append(
                    try await seconds { for _ in 0..<calls { _ = try await client.version() } })
                result["exec"]?.append(try await seconds { try await execs(client, calls) })
            }
            return result
        }
    }

    private func execs(_ client: CoveyClient, _ count: Int) async throws {
        for _ in 0..<count {
            let exit = try await client.exec(machine, Program(arguments: ["true"])) { _ in }
            guard exit?.code == 0 else { throw CoveyError(.failure, "true ended with \(exit?.code ?? -1)") }
        }
    }
}
