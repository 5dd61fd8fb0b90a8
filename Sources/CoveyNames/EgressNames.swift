package import CoveyModel
package import CoveyNetwork

/// What a policy says of names. Pure functions.
extension EgressPolicy {
    /// Whether outside names may be asked for at all: an answer is of use where something of it may be reached, and a
    /// question that leaves can carry data out.
    package func allows(_ name: DNSName) -> Bool {
        switch self {
        case .open: true
        case .closed: false
        case .only(let rules): rules.contains { $0.names(name) }
        }
    }

    /// Whether an answer for a name has to be heard of before it is sent.
    package var opensByName: Bool {
        switch self {
        case .open, .closed: false
        case .only: true
        }
    }

    /// What an answer for a name opens: one opening for each rule that has the name, for its time to live, and at least
    /// a minute.
    package func openings(
        _ name: String, for key: InterfaceKey, addresses: [IPAddress], timeToLive: Duration
    ) -> [EgressOpening] {
        guard case .only(let rules) = self, let asked = DNSName(name), !addresses.isEmpty else { return [] }
        return rules.filter { $0.names(asked) }.map { rule in
            EgressOpening(
                key: key, addresses: addresses, ports: rule.ports, transport: rule.transport,
                duration: max(timeToLive, .seconds(60)))
        }
    }
}

extension EgressRule {
    /// Whether the rule has a name: it itself, or below the domain.
    func names(_ name: DNSName) -> Bool {
        switch target {
        case .block: false
        case .name(let wanted): DNSName(wanted) == name
        case .domain(let domain): DNSName(domain).map { name != $0 && name.isWithin($0) } ?? false
        }
    }
}
