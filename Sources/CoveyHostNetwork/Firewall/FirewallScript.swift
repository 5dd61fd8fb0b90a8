internal import CoveyModel
internal import CoveyNetwork

/// Writes the script for `nft` that turns what there is into what a ``FirewallPlan`` says, in one transaction.
///
/// Counters and openings that stay are not touched; all rules and all other elements are new. Where what there is was
/// made by another version, or was changed by hand so that this fails, the tables are made anew, with the counters'
/// values and the openings written into them.
struct FirewallScript {
    /// Raised when a chain's hook or a set's type changes: then the tables are made anew.
    static let version = "version_1"

    private let plan: FirewallPlan
    private let contents: FirewallContents
    private var lines: [String] = []
    private var table: String { plan.names.table }

    /// The script that changes `contents` to `plan`.
    static func text(_ plan: FirewallPlan, from contents: FirewallContents, anew: Bool) -> String {
        var script = FirewallScript(plan: plan, contents: contents)
        if anew { script.clear() } else { script.prepare() }
        script.routed(anew)
        script.bridged(anew)
        return script.lines.joined(separator: "\n") + "\n"
    }

    /// The script that takes both tables away.
    static func removal(_ names: HostNames) -> String {
        ["inet", "bridge"].map { "add table \($0) \(names.table)\ndelete table \($0) \(names.table)\n" }.joined()
    }

    private init(plan: FirewallPlan, contents: FirewallContents) {
        self.plan = plan
        self.contents = contents
    }

    private mutating func clear() { lines.append(FirewallScript.removal(plan.names)) }

    /// Takes away what the plan no longer names: rules first, since they hold what they speak of.
    private mutating func prepare() {
        for family in FirewallContents.Family.allCases {
            let name = "\(family.rawValue) \(table)"
            lines.append("add table \(name)")
            lines.append("flush table \(name)")
            guard let there = contents.tables[family] else { continue }
            for set in there.sets.sorted() where !set.hasPrefix("o4_") && !set.hasPrefix("o6_") {
                lines.append("flush set \(name) \(set)")
            }
            for map in there.maps.sorted() { lines.append("flush map \(name) \(map)") }
            let wanted = Set(shapeSets)
            for set in there.sets.sorted() where set.hasPrefix("o4_") || set.hasPrefix("o6_") {
                if !wanted.contains(set) { lines.append("delete set \(name) \(set)") }
            }
            let chains = Set(plan.ruled.map(\.chain))
            for chain in there.chains.sorted() where chain.hasPrefix("p_") && !chains.contains(chain) {
                lines.append("delete chain \(name) \(chain)")
            }
            let counters = Set(plan.machines.map { counter($0, family) })
            for counter in there.counters.keys.sorted() where !counters.contains(counter) {
                lines.append("delete counter \(name) \(counter)")
            }
            for limit in there.limits.sorted() { lines.append("delete limit \(name) \(limit)") }
        }
        let policies = plan.policies
        for opening in contents.openings where policies[opening.source]?.mark != opening.mark {
            if shapeSets.contains(opening.set) {
                let element = "inet \(table) \(opening.set) { \(opening.source) . \(opening.target)"
                // Added first: it may have ended since it was seen, and what is not there cannot be deleted.
                lines += ["add element \(element) timeout 1s }", "delete element \(element) }"]
            }
        }
    }

    private var shapeSets: [String] { plan.shapes.flatMap { ["o4_\($0.name)", "o6_\($0.name)"] } }

    private func counter(_ machine: FirewallPlan.Machine, _ family: FirewallContents.Family) -> String {
        (family == .routed ? "d" : "f") + machine.number
    }

    private mutating func counters(_ family: FirewallContents.Family, anew: Bool) {
        for machine in plan.machines {
            let name = counter(machine, family)
            let value = anew ? contents.tables[family]?.counters[name] : nil
            lines.append("counter \(name) { packets \(value?.packets ?? 0) bytes \(value?.bytes ?? 0)")
            lines.append("}")
        }
    }

    private mutating func set(
        _ name: String, _ type: String, flags: String? = nil, _ elements: [String], kind: String = "set"
    ) {
        lines.append("\(kind) \(name) { type \(type)")
        if let flags { lines.append("flags \(flags)") }
        if !elements.isEmpty { lines.append("elements = { \(elements.joined(separator: ", ")) }") }
        lines.append("}")
    }

    private mutating func map(_ name: String, _ type: String, _ elements: [String]) {
        set(name, type, elements, kind: "map")
    }

    private mutating func chain(_ name: String, _ rules: [String]) {
        lines.append("chain \(name) {")
        lines += rules.filter { !$0.isEmpty }
        lines.append("}")
    }
}

// MARK: - What is routed

extension FirewallScript {
    private mutating func routed(_ anew: Bool) {
        lines.append("table inet \(table) {")
        chain(FirewallScript.version, [])
        counters(.routed, anew: anew)
        networkSets()
        machineSets()
        portSets()
        openingSets(anew)
        set("quiet", "ifname", plan.quiet.map(quoted))
        lines += FirewallRules.routed(plan)
        lines.append("}")
    }

    private func quoted(_ text: String) -> String { "\"\(text)\"" }

    private mutating func networkSets() {
        let networks = plan.networks
        set("same_link", "ifname . ifname", networks.map { "\(quoted($0.bridge)) . \(quoted($0.bridge))" })
        set("shared", "ifname", networks.filter { !$0.network.spec.isolated }.map { quoted($0.bridge) })
        set("to_host", "ifname", networks.filter { $0.network.spec.reachesHost }.map { quoted($0.bridge) })
        let six = networks.compactMap { bridge, network -> (String, AddressBlock, IPv6Address)? in
            guard plan.hasIPv6, let block = network.spec.block6, let gateway = network.spec.gateway6 else { return nil }
            return (bridge, block, gateway)
        }
        set("gateways4", "ifname . ipv4_addr", networks.map { "\(quoted($0.bridge)) . \($0.network.spec.gateway)" })
        set("gateways6", "ifname . ipv6_addr", six.map { "\(quoted($0.0)) . \($0.2)" })
        set("all_gateways4", "ipv4_addr", networks.map { "\($0.network.spec.gateway)" })
        set("all_gateways6", "ipv6_addr", six.map { "\($0.2)" })
        set("blocks4", "ipv4_addr", flags: "interval", networks.map { "\($0.network.spec.block)" })
        set("blocks6", "ipv6_addr", flags: "interval", six.map { "\($0.1)" })
        set(
            "same4", "ipv4_addr . ipv4_addr", flags: "interval",
            networks.map { "\($0.network.spec.block) . \($0.network.spec.block)" })
        set("same6", "ipv6_addr . ipv6_addr", flags: "interval", six.map { "\($0.1) . \($0.1)" })
    }

    private mutating func machineSets() {
        for version6 in [false, true] {
            let all = plan.machines.flatMap { machine in
                plan.addresses(machine).filter { $0.isVersion6 == version6 }.map { (machine, "\($0)") }
            }
            let (suffix, type) = version6 ? ("6", "ifname . ipv6_addr") : ("4", "ifname . ipv4_addr")
            map(
                "denied\(suffix)", "\(type) : counter",
                all.map { "\(quoted($0.bridge)) . \($1) : \(quoted(counter($0, .routed)))" })
        }
        for policy in plan.ruled { lines.append("chain \(policy.chain) {\n}") }
        for chain in ["pass", "deny"] { lines.append("chain \(chain) {\n}") }
        for version6 in [false, true] {
            let all = plan.machines.flatMap { machine in
                plan.addresses(machine).filter { $0.isVersion6 == version6 }.map { (machine, "\($0)") }
            }
            let (suffix, type) = version6 ? ("6", "ifname . ipv6_addr") : ("4", "ifname . ipv4_addr")
            map(
                "egress\(suffix)", "\(type) : verdict",
                all.map { "\(quoted($0.bridge)) . \($1) : goto \($0.policy.chain)" })
        }
    }

    private mutating func portSets() {
        for version6 in [false, true] {
            let (suffix, address) = version6 ? ("6", "ipv6_addr") : ("4", "ipv4_addr")
            let wildcard = version6 ? "::" : "0.0.0.0"
            let ports = plan.ports.filter { $0.target.isVersion6 == version6 }
            let place = { (port: FirewallPlan.Port) in "\(port.port.bind.map(\.description) ?? "127.0.0.1")" }
            let key = { (port: FirewallPlan.Port) in "\(port.port.transport.rawValue) . \(port.port.hostPort)" }
            let target = { (port: FirewallPlan.Port) in "\(port.target) . \(port.port.guestPort)" }
            map(
                "bound\(suffix)", "\(address) . inet_proto . inet_service : \(address) . inet_service",
                ports.filter { place($0) != wildcard }.map { "\(place($0)) . \(key($0)) : \(target($0))" })
            map(
                "any\(suffix)", "inet_proto . inet_service : \(address) . inet_service",
                ports.filter { place($0) == wildcard }.map { "\(key($0)) : \(target($0))" })
            let reached = ports.map { "\($0.target) . \($0.port.transport.rawValue) . \($0.port.guestPort)" }
            set("published\(suffix)", "\(address) . inet_proto . inet_service", Set(reached).sorted())
        }
    }

    private mutating func openingSets(_ anew: Bool) {
        let policies = plan.policies
        for shape in plan.shapes {
            for (prefix, type) in [("o4_", "ipv4_addr"), ("o6_", "ipv6_addr")] {
                let kept = contents.openings.filter {
                    anew && $0.set == prefix + shape.name && policies[$0.source]?.mark == $0.mark
                }
                set(
                    prefix + shape.name, "\(type) . \(type)", flags: "timeout",
                    kept.map { "\($0.source) . \($0.target) timeout \(max($0.seconds, 1))s comment \(quoted($0.mark))" }
                )
            }
        }
    }
}

// MARK: - What passes bridges

extension FirewallScript {
    private mutating func bridged(_ anew: Bool) {
        lines.append("table bridge \(table) {")
        chain(FirewallScript.version, [])
        counters(.bridged, anew: anew)
        let machines = plan.machines
        map("forgers", "ifname : counter", machines.map { "\(quoted($0.tap)) : \(quoted(counter($0, .bridged)))" })
        set("own_mac", "ifname . ether_addr", machines.map { "\(quoted($0.tap)) . \($0.interface.mac)" })
        set("own4", "ifname . ipv4_addr", machines.map { "\(quoted($0.tap)) . \($0.interface.address)" })
        let six = machines.flatMap { machine -> [(String, IPv6Address)] in
            let local = (machine.tap, IPv6Address.linkLocal(machine.interface.mac))
            return [local] + (machine.interface.address6.map { [(machine.tap, $0)] } ?? [])
        }
        set("own6", "ifname . ipv6_addr", six.map { "\(quoted($0.0)) . \($0.1)" })
        lines.append("set targets6 { typeof iifname . @th,64,128")
        if !six.isEmpty {
            lines.append("elements = { \(six.map { "\(quoted($0.0)) . 0x\(hex($0.1))" }.joined(separator: ", ")) }")
        }
        lines.append("}")
        let limits = FirewallLimits(machines)
        lines += limits.objects
        map("sending_bytes", "ifname : limit", limits.sendingBytes)
        map("sending_packets", "ifname : limit", limits.sendingPackets)
        map("receiving_packets", "ifname : limit", limits.receivingPackets)
        lines += FirewallRules.bridged(plan)
        lines.append("}")
    }

    private func hex(_ address: IPv6Address) -> String {
        address.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
