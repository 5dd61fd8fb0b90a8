extension EgressPolicy: TextCoded {
    /// Reads `open`, `closed`, or rules with commas between. Nil for anything else.
    package init?(_ text: String) {
        switch text {
        case "open": self = .open
        case "closed": self = .closed
        case _:
            var rules: [EgressRule] = []
            for part in text.split(separator: ",", omittingEmptySubsequences: false) {
                guard let rule = EgressRule(String(part)) else { return nil }
                rules.append(rule)
            }
            self = .only(rules)
        }
    }

    /// The text that ``init(_:)`` reads.
    package var description: String {
        switch self {
        case .open: "open"
        case .closed: "closed"
        case .only(let rules): rules.isEmpty ? "closed" : rules.map(\.description).joined(separator: ",")
        }
    }
}

extension EgressRule: TextCoded {
    /// Reads `HOST[:PORT]`, `*.DOMAIN[:PORT]` or `CIDR[:PORT]`, each with `/tcp` or `/udp` behind it where one alone is
    /// meant; IPv6 stands in brackets before a port, and `PORT` may be `FIRST-LAST`. Nil for anything else.
    package init?(_ text: String) {
        var rest = Substring(text)
        transport = TransportProtocol.strip(&rest)
        var place = rest
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else { return nil }
            place = rest[rest.index(after: rest.startIndex)..<end]
            guard case .v6 = AddressBlock(String(place))?.address else { return nil }
            rest = rest[rest.index(after: end)...]
            if !rest.isEmpty {
                guard rest.hasPrefix(":"), let ports = PortRange.read(rest.dropFirst()) else { return nil }
                self.ports = ports
            }
        } else if let colon = rest.lastIndex(of: ":"), rest.firstIndex(of: ":") == colon {
            guard let ports = PortRange.read(rest[rest.index(after: colon)...]) else { return nil }
            self.ports = ports
            place = rest[..<colon]
        }
        if let block = AddressBlock(String(place)) {
            target = .block(block)
        } else if place.hasPrefix("*."), DomainName.isValid(place.dropFirst(2)) {
            target = .domain(place.dropFirst(2).lowercased())
        } else if DomainName.isValid(place) {
            target = .name(place.lowercased())
        } else {
            return nil
        }
    }

    /// The text that ``init(_:)`` reads.
    package var description: String {
        var text =
            switch target {
            case .block(let block):
                switch block.address {
                case .v4: block.description
                case .v6: ports == nil ? block.description : "[\(block)]"
                }
            case .name(let name): name
            case .domain(let domain): "*.\(domain)"
            }
        if let ports { text += ":" + PortRange.text(ports) }
        if let transport { text += "/" + transport.rawValue }
        return text
    }
}

extension PublishedPort: TextCoded {
    /// Reads `[BIND:]HOST:GUEST[/udp]` with one port on each side. Nil for anything else.
    package init?(_ text: String) {
        guard let list = PublishedPort.list(text), let first = list.first, list.count == 1 else { return nil }
        self = first
    }

    /// Reads `[BIND:]HOST:GUEST[/udp]`, where both sides may be ranges of the same length; an IPv6 `BIND` stands in
    /// brackets. Nil for anything else.
    package static func list(_ text: String) -> [PublishedPort]? {
        var rest = Substring(text)
        let transport = TransportProtocol.strip(&rest) ?? .tcp
        var bind: IPAddress?
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]"),
                let six = IPv6Address(String(rest[rest.index(after: rest.startIndex)..<end]))
            else { return nil }
            bind = .v6(six)
            rest = rest[rest.index(after: end)...]
            guard rest.hasPrefix(":") else { return nil }
            rest = rest.dropFirst()
        }
        var parts = rest.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count == 3, bind == nil {
            guard let four = IPv4Address(String(parts.removeFirst())) else { return nil }
            bind = .v4(four)
        }
        guard parts.count == 2, let host = PortRange.read(parts[0]), let guest = PortRange.read(parts[1]),
            host.count == guest.count
        else { return nil }
        return zip(host, guest).map {
            PublishedPort(bind: bind, hostPort: $0, guestPort: $1, transport: transport)
        }
    }

    /// The text that ``init(_:)`` reads.
    package var description: String {
        let place: String =
            switch bind {
            case nil: ""
            case .v4(let address): "\(address):"
            case .v6(let address): "[\(address)]:"
            }
        return "\(place)\(hostPort):\(guestPort)" + (transport == .udp ? "/udp" : "")
    }
}

extension TransportProtocol {
    /// Takes `/tcp` or `/udp` from a text's end; nil where neither is there.
    fileprivate static func strip(_ text: inout Substring) -> TransportProtocol? {
        guard let found = allCases.first(where: { text.hasSuffix("/\($0.rawValue)") }) else { return nil }
        text = text.dropLast(found.rawValue.utf8.count + 1)
        return found
    }
}

/// Ports from 1 on, as `N` or `FIRST-LAST`.
enum PortRange {
    /// Nil for anything else.
    static func read(_ text: Substring) -> ClosedRange<UInt16>? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count <= 2, let first = port(parts[0]), let last = port(parts[parts.count - 1]), first <= last
        else { return nil }
        return first...last
    }

    static func text(_ ports: ClosedRange<UInt16>) -> String {
        ports.count == 1 ? "\(ports.lowerBound)" : "\(ports.lowerBound)-\(ports.upperBound)"
    }

    private static func port(_ text: Substring) -> UInt16? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(text), port > 0 else {
            return nil
        }
        return port
    }
}

/// Names as DNS has them.
package enum DomainName {
    /// Whether a text is a name of labels (RFC 1123, and `_` as service names have it), at most 253 bytes, the last
    /// label not all digits.
    package static func isValid(_ text: some StringProtocol) -> Bool {
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 253, let last = labels.last, !last.utf8.allSatisfy({ (48...57).contains($0) }) else {
            return false
        }
        return labels.allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { byte in
                    (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || byte == 45
                        || byte == 95
                }
        }
    }
}
