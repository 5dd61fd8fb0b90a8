internal import CoveyModel
internal import CoveyNetwork

/// What is to be done to the host's links so that they carry a state: a value, found without touching anything.
struct LinkPlan: Sendable {
    /// A bridge that is to be.
    struct Bridge: Hashable, Sendable {
        /// Its network.
        var network: HostedNetwork
        /// The bridge that is there; nil is to be made.
        var existing: HostLink?
        /// What is wrong about the one that is there; of one to be made, what its making leaves out.
        var change: LinkChange
        /// Addresses that it lacks: their `link` is not known yet.
        var adding: [HostAddress]
        /// Addresses that it has and should not.
        var removing: [HostAddress]
    }

    /// A tap that is to be.
    struct Tap: Hashable, Sendable {
        /// Its interface.
        var interface: HostedInterface
        /// The name of its bridge.
        var bridge: String
        /// Its largest packet.
        var mtu: Int
        /// The tap that is there; nil is to be made or taken from the pool.
        var existing: HostLink?
        /// Whether its name is none of ours and it needs another.
        var needsName: Bool
        /// Whether another user opens it.
        var needsOwner: Bool
    }

    /// Bridges of the state's networks.
    var bridges: [Bridge] = []
    /// Taps of the state's interfaces.
    var taps: [Tap] = []
    /// Taps without an interface, ready to be one's.
    var free: [HostLink] = []
    /// Links of ours that nothing in the state names: taps first.
    var removals: [HostLink] = []
    /// Whether a VMM holds a tap that nothing in the state names.
    var hasLeft = false
    /// What cannot be carried.
    var problems: [NetworkProblem] = []

    /// Compares what is wanted with what is there.
    init(_ state: NetworkState, links: [HostLink], addresses: [HostAddress], names: HostNames, hasIPv6: Bool) {
        var used: Set<Int32> = []
        for network in state.networks {
            do throws(CoveyError) {
                try LinkPlan.refuseOverlap(of: network, with: bridges.map(\.network))
                let bridge = try LinkPlan.bridge(network, links, addresses, names, hasIPv6)
                if let existing = bridge.existing { used.insert(existing.index) }
                bridges.append(bridge)
            } catch {
                problems.append(NetworkProblem(network: network.id, error: error))
                // What is left of it stays until it can be mended.
                used.formUnion(links.filter { names.network($0) == network.id }.map(\.index))
            }
        }
        let carried = Dictionary(bridges.map { ($0.network.id, $0.network) }) { first, _ in first }
        let failed = Set(problems.map(\.network))
        for interface in state.interfaces {
            guard let network = carried[interface.network] else {
                if !failed.contains(interface.network) {
                    problems.append(LinkPlan.without(interface))
                }
                used.formUnion(links.filter { names.interface($0) == interface.key }.map(\.index))
                continue
            }
            if let problem = LinkPlan.twin(of: interface, in: taps.map(\.interface)) {
                problems.append(problem)
                continue
            }
            let tap = LinkPlan.tap(interface, network, links, names)
            if let existing = tap.existing { used.insert(existing.index) }
            taps.append(tap)
        }
        // A tap that a VMM still holds belongs to a machine that nobody knows any more: it is left, without a rule that lets
        // anything pass.
        let left = links.filter {
            $0.isTap && names.interface($0) != nil && $0.hasCarrier && !used.contains($0.index)
        }
        hasLeft = !left.isEmpty
        used.formUnion(left.map(\.index))
        used.formUnion(left.compactMap(\.master))
        for link in links where names.isOurs(link) && !used.contains(link.index) {
            if link.alias == names.freeAlias, link.isTap, names.number(link.name) != nil {
                free.append(link)
            } else if link.isTap, names.interface(link) != nil || link.alias == names.freeAlias {
                removals.insert(link, at: 0)
            } else if link.kind == "bridge", names.network(link) != nil {
                removals.append(link)
            }
        }
        removals += links.filter { names.isHalfMade(bridge: $0) && !used.contains($0.index) }
    }

    private static func bridge(
        _ network: HostedNetwork, _ links: [HostLink], _ addresses: [HostAddress], _ names: HostNames, _ hasIPv6: Bool
    ) throws(CoveyError) -> Bridge {
        let name = names.bridge(network.id)
        let named = links.first { $0.name == name }
        let existing = links.first { names.network($0) == network.id && $0.kind == "bridge" }
        if let named, named.index != existing?.index, existing != nil || !names.isHalfMade(bridge: named) {
            throw CoveyError(
                .conflict, "network \(network.name) needs a bridge \(name), and a link of that name is not ours",
                remedy: "rename or delete it: ip link delete \(name)",
                resource: ResourceReference("network", network.name))
        }
        let link = existing ?? named
        var wanted = [HostAddress(link: 0, address: .v4(network.spec.gateway), length: network.spec.block.length)]
        if hasIPv6, let gateway = network.spec.gateway6, let block = network.spec.block6 {
            wanted.append(HostAddress(link: 0, address: .v6(gateway), length: block.length))
        }
        var change = LinkChange(alias: names.alias(network.id), isUp: true)
        guard let link else {
            return Bridge(network: network, existing: nil, change: change, adding: wanted, removing: [])
        }
        let mac = HostNames.mac(network.id)
        change.alias = link.alias == change.alias ? nil : change.alias
        change.isUp = link.isUp ? nil : true
        change.name = link.name == name ? nil : name
        change.mac = link.mac == mac ? nil : mac
        change.mtu = link.mtu == network.spec.mtu ? nil : network.spec.mtu
        let here = addresses.filter { $0.link == link.index && !$0.isLinkLocal }
        for index in wanted.indices { wanted[index].link = link.index }
        return Bridge(
            network: network, existing: link, change: change, adding: wanted.filter { !here.contains($0) },
            removing: here.filter { !wanted.contains($0) })
    }

    private static func tap(
        _ interface: HostedInterface, _ network: HostedNetwork, _ links: [HostLink], _ names: HostNames
    ) -> Tap {
        let its = links.filter { $0.isTap && names.interface($0) == interface.key }
        let existing = its.first { $0.hasCarrier } ?? its.first { names.number($0.name) != nil } ?? its.first
        return Tap(
            interface: interface, bridge: names.bridge(network.id), mtu: network.spec.mtu, existing: existing,
            needsName: existing.map { names.number($0.name) == nil } ?? false,
            // A VMM that holds it open has shown that it may.
            needsOwner: existing.map { $0.owner != interface.owner && !$0.hasCarrier } ?? false)
    }

    private static func refuseOverlap(
        of network: HostedNetwork, with others: [HostedNetwork]
    ) throws(CoveyError) {
        let blocks = [network.spec.block] + (network.spec.block6.map { [$0] } ?? [])
        for other in others {
            let its = [other.spec.block] + (other.spec.block6.map { [$0] } ?? [])
            guard let block = blocks.first(where: { block in its.contains { $0.overlaps(block) } }) else { continue }
            throw CoveyError(
                .conflict, "the block \(block) of network \(network.name) overlaps with network \(other.name)",
                remedy: "create one of them with another --block",
                resource: ResourceReference("network", network.name))
        }
    }

    private static func twin(of interface: HostedInterface, in others: [HostedInterface]) -> NetworkProblem? {
        let twin = others.first { other in
            other.key == interface.key
                || other.network == interface.network
                    && (other.address == interface.address || other.mac == interface.mac
                        || interface.address6 != nil && other.address6 == interface.address6)
        }
        guard let twin else { return nil }
        return NetworkProblem(
            key: interface.key, network: interface.network,
            error: CoveyError(
                .conflict, "an address of vm \(interface.name) belongs to vm \(twin.name)",
                resource: ResourceReference("vm", interface.name)))
    }

    private static func without(_ interface: HostedInterface) -> NetworkProblem {
        NetworkProblem(
            key: interface.key, network: interface.network,
            error: CoveyError(
                .notFound, "the network \(interface.network) of an interface of vm \(interface.name) does not exist",
                resource: ResourceReference("vm", interface.name)))
    }
}

extension LinkChange {
    /// Whether nothing is to be different.
    var isEmpty: Bool { self == LinkChange() }
}
