package import CoveyModel
package import CoveyNetwork

/// Who asks.
package enum Asker: Hashable, Sendable {
    /// The host, by the listener on loopback.
    case host
    /// An interface of a network.
    case interface(InterfaceKey, NetworkID)
    /// Something else with an address of a network's block.
    case stranger(NetworkID)

    /// The network that it asks through; nil for the host.
    package var network: NetworkID? {
        switch self {
        case .host: nil
        case .interface(_, let network), .stranger(let network): network
        }
    }
}

/// What our own names answer.
package enum NameAnswer: Hashable, Sendable {
    /// Records of the question's name; empty where it exists and has none of the type.
    case records([DNSRecord])
    /// There is no such name, or none that the asker may know of.
    case absent
    /// The name is not ours: others are to be asked.
    case foreign
}

/// All names of machines, and who may see which: a value without clock and sockets.
///
/// A machine is seen from its own network, and from another where neither of both is isolated: by the rule of
/// ``NetworkSpec/isolated`` packets pass just then. The host sees all. What is not seen does not exist.
package struct NameTable: Sendable {
    /// How long an answer may be kept, in seconds: not at all, so that changes are seen at once.
    package static let timeToLive: UInt32 = 0
    /// The labels that mean the gateway, and through it the host.
    package static let hostLabels: Set<String> = ["host", "gateway"]

    /// The domain of all machines.
    package static let domain = DNSName(checked: [2, 118, 109, 0])

    private struct Entry: Sendable {
        var name: String
        var tenant: String
        var key: InterfaceKey
        var network: NetworkID
        var addresses: [IPAddress]
    }

    private let networks: [NetworkID: HostedNetwork]
    /// Interfaces by tenant and machine's name.
    private var machines: [String: [String: [Entry]]] = [:]
    private var byAddress: [IPAddress: [Entry]] = [:]
    private var byInterface: [InterfaceKey: (tenant: String, egress: EgressPolicy)] = [:]
    /// Who sends from an address, within a network.
    private var sources: [NetworkID: [IPAddress: InterfaceKey]] = [:]

    /// Makes the table of a state.
    package init(_ state: NameState = NameState()) {
        networks = Dictionary(state.networks.map { ($0.id, $0) }) { first, _ in first }
        for interface in state.interfaces.sorted(by: { $0.key < $1.key }) {
            guard let network = networks[interface.network] else { continue }
            var addresses = [IPAddress.v4(interface.address)]
            if let six = interface.address6 { addresses.append(.v6(six)) }
            let entry = Entry(
                name: interface.name, tenant: interface.tenant, key: interface.key, network: interface.network,
                addresses: addresses)
            machines[interface.tenant, default: [:]][interface.name, default: []].append(entry)
            for address in addresses {
                byAddress[address, default: []].append(entry)
                sources[interface.network, default: [:]][address] = interface.key
            }
            sources[interface.network, default: [:]][.v6(.linkLocal(interface.mac))] = interface.key
            byInterface[interface.key] = (interface.tenant, interface.egress ?? network.spec.egress)
        }
    }

    /// Who asks from an address through a network; nil where the address is none of the network's.
    package func asker(_ source: IPAddress, through network: NetworkID) -> Asker? {
        guard let hosted = networks[network] else { return nil }
        if let key = sources[network]?[source] { return .interface(key, network) }
        let isOfBlock = hosted.spec.block.contains(source) || hosted.spec.block6?.contains(source) == true
        return isOfBlock ? .stranger(network) : nil
    }

    /// What an asker may reach outside, by name too. Whoever is unknown has what its network says.
    package func egress(_ asker: Asker) -> EgressPolicy {
        switch asker {
        case .host: .open
        case .interface(let key, let network): byInterface[key]?.egress ?? networks[network]?.spec.egress ?? .closed
        case .stranger(let network): networks[network]?.spec.egress ?? .closed
        }
    }

    /// Answers a question of the internet's class.
    package func answer(_ question: DNSQuestion, _ asker: Asker) -> NameAnswer {
        if question.name.isWithin(Self.domain) { return forward(question, asker) }
        if let address = ReverseName.address(question.name) { return reverse(question, address, asker) }
        return .foreign
    }

    /// What says of whom a missing answer is, and for how long.
    package var authority: DNSRecord {
        let server = DNSName("host.vm") ?? .root
        let authority = DNSAuthority(
            server: server, mailbox: DNSName("nobody.invalid") ?? .root, times: [1, 3600, 600, 86400],
            minimum: Self.timeToLive)
        return DNSRecord(Self.domain, .soa, timeToLive: Self.timeToLive, .authority(authority))
    }

    private func forward(_ question: DNSQuestion, _ asker: Asker) -> NameAnswer {
        let labels = question.name.labels.map { String(decoding: $0, as: UTF8.self) }
        switch labels.count {
        case 1:
            return question.type == .soa || question.type == .any ? .records([authority]) : .records([])
        case 2:
            if Self.hostLabels.contains(labels[0]) { return records(question, gateway(asker)) }
            if let seen = seen(labels[0], tenant(asker), asker) { return records(question, seen) }
            // A tenant's name is a place in the tree as long as it holds a machine that is seen.
            let holdsSome = machines[labels[0]]?.values.contains { $0.contains { sees(asker, $0.network) } } == true
            return holdsSome ? .records([]) : .absent
        case 3:
            return seen(labels[0], labels[1], asker).map { records(question, $0) } ?? .absent
        case _: return .absent
        }
    }

    private func reverse(_ question: DNSQuestion, _ address: IPAddress, _ asker: Asker) -> NameAnswer {
        let owner: DNSName?
        if let network = asker.network, let hosted = networks[network], hosted.has(gateway: address) {
            owner = DNSName("host.vm")
        } else if let entry = byAddress[address]?.first(where: { sees(asker, $0.network) }) {
            let text = entry.tenant == tenant(asker) ? "\(entry.name).vm" : "\(entry.name).\(entry.tenant).vm"
            owner = DNSName(text)
        } else {
            // Whose addresses these are is nobody else's business.
            let isOurs = networks.values.contains {
                $0.spec.block.contains(address) || $0.spec.block6?.contains(address) == true
            }
            return isOurs ? .absent : .foreign
        }
        guard let owner, question.type == .ptr || question.type == .any else { return .records([]) }
        return .records([DNSRecord(question.name, .ptr, timeToLive: Self.timeToLive, .name(owner))])
    }

    /// The addresses of a machine that an asker sees: those on the asker's own network where there are any. Nil where it
    /// sees none.
    private func seen(_ name: String, _ tenant: String, _ asker: Asker) -> [IPAddress]? {
        guard let entries = machines[tenant]?[name] else { return nil }
        let near = entries.filter { $0.network == asker.network }
        let seen = near.isEmpty ? entries.filter { sees(asker, $0.network) } : near
        return seen.isEmpty ? nil : seen.flatMap(\.addresses)
    }

    private func sees(_ asker: Asker, _ network: NetworkID) -> Bool {
        guard let own = asker.network else { return true }
        if own == network { return true }
        guard let mine = networks[own], let other = networks[network] else { return false }
        return !mine.spec.isolated && !other.spec.isolated
    }

    private func tenant(_ asker: Asker) -> String {
        switch asker {
        case .host: Tenant.standard.description
        case .interface(let key, let network): byInterface[key]?.tenant ?? networks[network]?.tenant ?? ""
        case .stranger(let network): networks[network]?.tenant ?? ""
        }
    }

    private func gateway(_ asker: Asker) -> [IPAddress] {
        guard let network = asker.network else {
            return [.v4(IPv4Address(bits: 0x7F00_0001)), .v6(IPv6Address(high: 0, low: 1))]
        }
        guard let spec = networks[network]?.spec else { return [] }
        return [.v4(spec.gateway)] + (spec.gateway6.map { [.v6($0)] } ?? [])
    }

    private func records(_ question: DNSQuestion, _ addresses: [IPAddress]) -> NameAnswer {
        .records(
            addresses.map { DNSRecord.address(question.name, $0, timeToLive: Self.timeToLive) }
                .filter { question.type == $0.type || question.type == .any })
    }
}

extension HostedNetwork {
    fileprivate func has(gateway address: IPAddress) -> Bool {
        switch address {
        case .v4(let four): four == spec.gateway
        case .v6(let six): six == spec.gateway6
        }
    }
}

/// Names of `in-addr.arpa` and `ip6.arpa`. Source: RFC 1035 3.5, RFC 3596 2.5.
package enum ReverseName {
    private static let four = DNSName(checked: [7] + Array("in-addr".utf8) + [4] + Array("arpa".utf8) + [0])
    private static let six = DNSName(checked: [3] + Array("ip6".utf8) + [4] + Array("arpa".utf8) + [0])

    /// The address that a name stands for; nil where it is no whole address.
    package static func address(_ name: DNSName) -> IPAddress? {
        let labels = name.labels
        if labels.count == 6, name.isWithin(four) {
            let text = labels.prefix(4).reversed().map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".")
            return IPv4Address(text).map { .v4($0) }
        }
        guard labels.count == 34, name.isWithin(six) else { return nil }
        var halves: (high: UInt64, low: UInt64) = (0, 0)
        for (index, label) in labels.prefix(32).reversed().enumerated() {
            let digit: UInt8
            switch label.first {
            case let byte? where label.count == 1 && (48...57).contains(byte): digit = byte - 48
            case let byte? where label.count == 1 && (97...102).contains(byte): digit = byte - 87
            case _: return nil
            }
            if index < 16 {
                halves.high = halves.high << 4 | UInt64(digit)
            } else {
                halves.low = halves.low << 4 | UInt64(digit)
            }
        }
        return .v6(IPv6Address(high: halves.high, low: halves.low))
    }

    /// The name that stands for an address.
    package static func name(_ address: IPAddress) -> DNSName {
        let text: String
        switch address {
        case .v4(let four):
            text = four.bytes.reversed().map(String.init).joined(separator: ".") + ".in-addr.arpa"
        case .v6(let six):
            let digits = six.bytes.flatMap { [String($0 >> 4, radix: 16), String($0 & 15, radix: 16)] }
            text = digits.reversed().joined(separator: ".") + ".ip6.arpa"
        }
        return DNSName(text) ?? .root
    }
}
