package import CoveyModel

/// Answers names: on each network's gateway for its machines, and on loopback for the host.
package protocol NameService: Sendable {
    /// Answers by these names from now on. Errors: none; what could not be listened on is said by ``problems()``.
    func update(_ names: NameState) async

    /// What it cannot do: an address where a foreign server listens, with its program where that can be seen.
    func problems() async -> [String]

    /// Serves until it is cancelled.
    func run() async throws
}

/// All names that are answered, and to whom.
package struct NameState: Hashable, Sendable {
    /// The networks with their gateways, on which it listens.
    package var networks: [HostedNetwork]
    /// The machines that have a name: ones that run, and ones that do not, whose addresses are theirs still.
    package var interfaces: [HostedInterface]

    /// Makes names.
    package init(networks: [HostedNetwork] = [], interfaces: [HostedInterface] = []) {
        self.networks = networks
        self.interfaces = interfaces
    }
}

/// Hears of answers before they are sent, so that what they name can be reached when they arrive.
package protocol AnswerListener: Sendable {
    /// A machine that asked for `name` is about to be told of addresses with a time to live.
    func answers(_ name: String, to key: InterfaceKey, addresses: [IPAddress], timeToLive: Duration) async
}
