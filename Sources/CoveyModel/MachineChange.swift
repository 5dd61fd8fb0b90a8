/// What is changed of a machine that exists; what is nil or empty stays.
package struct MachineChange: Hashable, Sendable {
    /// What it reaches outside.
    package var egress: EgressChoice?
    /// Ports that are published from now on, beside those that are.
    package var publish: [PublishedPort] = []
    /// Ports that are not any more.
    package var unpublish: [HostPort] = []
    /// What each interface may send and receive; a limit without any bound takes the limit away.
    package var networkLimit: TrafficLimit?
    /// What each disk may read and write; a limit without any bound takes the limit away.
    package var diskLimit: TrafficLimit?
    /// The networks that it has in place of its own.
    package var networks: [NetworkAttachment]?

    /// A change of nothing.
    package init() {}

    /// Whether nothing is changed.
    package var isEmpty: Bool { self == MachineChange() }

    /// Applies it. Errors: ``ErrorCode/notFound`` for a port that is not published; ``ErrorCode/invalid`` for what no
    /// machine can have.
    package func apply(to spec: inout MachineSpec) throws(CoveyError) {
        switch egress {
        case nil: break
        case .inherited: spec.egress = nil
        case .policy(let policy):
            try policy.check()
            spec.egress = policy
        }
        for port in unpublish {
            guard spec.ports.contains(where: { port.names($0) }) else {
                throw CoveyError(
                    .notFound, "port \(port) is not published",
                    remedy: spec.ports.isEmpty
                        ? "the machine publishes none"
                        : "it publishes \(spec.ports.map(\.description).joined(separator: ", "))",
                    resource: ResourceReference("port", port.description))
            }
            spec.ports.removeAll { port.names($0) }
        }
        for port in publish where !spec.ports.contains(port) { spec.ports.append(port) }
        try PublishedPort.check(spec.ports)
        if let networkLimit { spec.networkLimit = try MachineChange.limit(networkLimit, "--network-limit") }
        if let diskLimit { spec.diskLimit = try MachineChange.limit(diskLimit, "--disk-limit") }
        if let networks { spec.networks = networks }
        guard spec.networks.isEmpty, !spec.ports.isEmpty else { return }
        throw CoveyError(
            .invalid, "ports lead to a machine's network, and it has none", remedy: "give it a network, or publish none"
        )
    }

    private static func limit(_ limit: TrafficLimit, _ option: String) throws(CoveyError) -> TrafficLimit? {
        if limit == TrafficLimit() { return nil }
        try limit.check(option)
        return limit
    }
}

extension MachineChange: CustomStringConvertible {
    /// Tells it from another change.
    package var description: String {
        var parts: [String] = []
        if let egress { parts.append("egress \(egress)") }
        parts += publish.map { "publish \($0)" } + unpublish.map { "unpublish \($0)" }
        for (name, limit) in [("network", networkLimit), ("disk", diskLimit)] {
            guard let limit else { continue }
            let numbers = [limit.bytesPerSecond, limit.operationsPerSecond, limit.burstBytes]
            parts.append("\(name) limit \(numbers.map { $0.map(String.init) ?? "-" }.joined(separator: " "))")
        }
        for attachment in networks ?? [] {
            let choices = [
                attachment.address?.description, attachment.address6?.description, attachment.mac?.description,
            ]
            parts.append("on \(attachment.network) \(choices.map { $0 ?? "-" }.joined(separator: " "))")
        }
        if networks == [] { parts.append("on none") }
        return parts.joined(separator: ", ")
    }
}

/// What a machine reaches outside: what its networks say, or a policy of its own.
package enum EgressChoice: Hashable, Sendable {
    /// What its networks say.
    case inherited
    /// A policy of its own.
    case policy(EgressPolicy)
}

extension EgressChoice: TextCoded {
    /// Reads `network` or a policy. Nil for anything else.
    package init?(_ text: String) {
        if text == "network" {
            self = .inherited
        } else if let policy = EgressPolicy(text) {
            self = .policy(policy)
        } else {
            return nil
        }
    }

    /// The text that ``init(_:)`` reads.
    package var description: String {
        switch self {
        case .inherited: "network"
        case .policy(let policy): policy.description
        }
    }
}

/// A port of the host, as what is published there is named by.
package struct HostPort: Hashable, Sendable, CustomStringConvertible {
    /// The published port, with any port of the machine.
    private let port: PublishedPort

    /// Reads `[BIND:]PORT[/udp]`, where PORT may be a range; an IPv6 `BIND` stands in brackets. Nil for anything else.
    package static func list(_ text: String) -> [HostPort]? {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let place = parts[0]
        guard let range = place.split(separator: ":", omittingEmptySubsequences: false).last else { return nil }
        let suffix = parts.count == 2 ? "/\(parts[1])" : ""
        return PublishedPort.list("\(place):\(range)\(suffix)").map { $0.map { HostPort(port: $0) } }
    }

    /// Whether it is where a port is published.
    package func names(_ other: PublishedPort) -> Bool {
        port.hostPort == other.hostPort && port.transport == other.transport && port.place == other.place
    }

    /// The text that ``list(_:)`` reads.
    package var description: String {
        let text = port.description
        let suffix = port.transport == .udp ? "/udp" : ""
        return text.dropLast(":\(port.guestPort)\(suffix)".utf8.count) + suffix
    }
}
