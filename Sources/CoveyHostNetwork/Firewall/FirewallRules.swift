internal import CoveyModel
internal import CoveyNetwork

/// The rules themselves. What names none of our links is never looked at; what comes from a link of ours that the sets
/// do not know is dropped, so that nothing passes before the firewall knows it, and nothing that it has forgotten.
enum FirewallRules {
    /// The chains of the routed table.
    static func routed(_ plan: FirewallPlan) -> [String] {
        let ours = "\"\(plan.names.bridgePrefix)*\""
        return forwarding(ours) + policies(plan) + toHost(ours) + ports() + translation(ours)
    }

    private static func forwarding(_ ours: String) -> [String] {
        [
            // Before connections are tracked: replies to loopback are still addressed to the gateway here.
            "chain before {", "type filter hook prerouting priority raw; policy accept;",
            "iifname \(ours) ip daddr 127.0.0.0/8 drop",
            "iifname \(ours) ip saddr 127.0.0.0/8 drop",
            "iifname != \"lo\" iifname != \(ours) ip saddr @blocks4 drop",
            "iifname != \"lo\" iifname != \(ours) ip6 saddr @blocks6 drop",
            "}",
            "chain forward {", "type filter hook forward priority filter; policy accept;",
            "iifname \(ours) goto from_machine",
            "oifname \(ours) goto to_machine",
            "iifname @quiet oifname @quiet drop",
            "}",
            "chain from_machine {",
            "ct state established,related accept",
            // Frames between machines of one network come by here where br_netfilter is loaded.
            "iifname . oifname @same_link accept",
            "ct state invalid drop",
            "oifname \(ours) jump between",
            "iifname . ip saddr vmap @egress4",
            "iifname . ip6 saddr vmap @egress6",
            "goto deny",
            "}",
            "chain between {",
            "iifname @shared oifname @shared return",
            "goto deny",
            "}",
            "chain to_machine {",
            "ct state established,related accept",
            "ct status dnat ip daddr . meta l4proto . th dport @published4 accept",
            "ct status dnat ip6 daddr . meta l4proto . th dport @published6 accept",
            "drop",
            "}",
        ]
    }

    private static func policies(_ plan: FirewallPlan) -> [String] {
        var lines = [
            "chain pass {", "accept", "}",
            "chain deny {",
            "meta pkttype { broadcast, multicast } drop",
            "counter name iifname . ip saddr map @denied4",
            "counter name iifname . ip6 saddr map @denied6",
            "reject with icmpx type admin-prohibited",
            "}",
        ]
        for policy in plan.ruled {
            lines.append("chain \(policy.chain) {")
            for rule in policy.rules {
                let condition = OpeningShape(transport: rule.transport, ports: rule.ports).condition
                switch rule.target {
                case .block(let block):
                    lines.append("\(block.address.isVersion6 ? "ip6" : "ip") daddr \(block) \(condition)accept")
                case .name, .domain: break
                }
            }
            for shape in policy.shapes {
                lines.append("ip saddr . ip daddr @o4_\(shape.name) \(shape.condition)accept")
                lines.append("ip6 saddr . ip6 daddr @o6_\(shape.name) \(shape.condition)accept")
            }
            lines += ["goto deny", "}"]
        }
        return lines
    }

    private static func toHost(_ ours: String) -> [String] {
        [
            "chain input {", "type filter hook input priority filter; policy accept;",
            "iifname \(ours) goto to_this_host",
            "}",
            "chain to_this_host {",
            "ct state established,related accept",
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept",
            "iifname . ip daddr @gateways4 jump gateway",
            "iifname . ip6 daddr @gateways6 jump gateway",
            "iifname . ip daddr != @gateways4 ip daddr @all_gateways4 goto deny",
            "iifname . ip6 daddr != @gateways6 ip6 daddr @all_gateways6 goto deny",
            "iifname @to_host accept",
            "goto deny",
            "}",
            "chain gateway {",
            "udp dport 53 accept",
            "tcp dport 53 accept",
            "icmp type echo-request accept",
            "icmpv6 type echo-request accept",
            "}",
        ]
    }

    private static func ports() -> [String] {
        let led = ["4", "6"].flatMap { version -> [String] in
            let ip = version == "4" ? "ip" : "ip6"
            return [
                "meta l4proto { tcp, udp } dnat \(ip) to \(ip) daddr . meta l4proto . th dport map @bound\(version)",
                "meta nfproto \(version == "4" ? "ipv4" : "ipv6") fib daddr type local meta l4proto { tcp, udp } "
                    + "dnat \(ip) to meta l4proto . th dport map @any\(version)",
            ]
        }
        return ["chain arriving {", "type nat hook prerouting priority dstnat; policy accept;"]
            // A packet from elsewhere that names our loopback is forged.
            + ["ip daddr 127.0.0.0/8 return"] + led + ["}"]
            + ["chain leaving {", "type nat hook output priority -100; policy accept;"] + led + ["}"]
    }

    private static func translation(_ ours: String) -> [String] {
        [
            "chain source {", "type nat hook postrouting priority srcnat; policy accept;",
            "oifname \(ours) ip saddr 127.0.0.0/8 masquerade",
            // A machine that reaches its own network by a published port: the answer must come back by us.
            "oifname \(ours) ct status dnat ip saddr . ip daddr @same4 masquerade",
            "oifname \(ours) ct status dnat ip6 saddr . ip6 daddr @same6 masquerade",
            "oifname != \(ours) ip saddr @blocks4 ip daddr != @blocks4 masquerade",
            "oifname != \(ours) ip6 saddr @blocks6 ip6 daddr != @blocks6 masquerade",
            "}",
        ]
    }

    /// The chains of the table for frames.
    static func bridged(_ plan: FirewallPlan) -> [String] {
        let ours = "\"\(plan.names.tapPrefix)*\""
        return [
            "chain forged {",
            "counter name iifname map @forgers",
            "drop",
            "}",
            "chain before {", "type filter hook prerouting priority -300; policy accept;",
            "iifname \(ours) goto machine",
            "}",
            "chain machine {",
            "iifname . ether saddr != @own_mac goto forged",
            "limit name iifname map @sending_bytes drop",
            "limit name iifname map @sending_packets drop",
            "ether type ip goto version4",
            "ether type arp goto arp_frames",
            "ether type ip6 goto version6",
            "goto forged",
            "}",
            "chain version4 {",
            // A machine that asks for an address by DHCP harms nobody and gets none.
            "ip saddr 0.0.0.0 udp dport 67 drop",
            "iifname . ip saddr != @own4 goto forged",
            "ip daddr 127.0.0.0/8 goto forged",
            "udp sport 67 udp dport 68 goto forged",
            "}",
            "chain arp_frames {",
            "iifname . arp saddr ether != @own_mac goto forged",
            "arp saddr ip 0.0.0.0 accept",
            "iifname . arp saddr ip != @own4 goto forged",
            "}",
            "chain version6 {",
            "icmpv6 type { nd-router-advert, nd-redirect } goto forged",
            "udp sport 547 udp dport 546 goto forged",
            "icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @targets6 goto forged",
            "ip6 saddr :: icmpv6 type nd-neighbor-solicit iifname . @th,64,128 != @targets6 goto forged",
            "ip6 saddr :: meta l4proto ipv6-icmp accept",
            "iifname . ip6 saddr != @own6 goto forged",
            "}",
            "chain after {", "type filter hook postrouting priority 0; policy accept;",
            "oifname \(ours) limit name oifname map @receiving_packets drop",
            "}",
        ]
    }
}

/// Limits that the firewall holds: bytes that a machine sends, and packets either way.
struct FirewallLimits {
    /// The declarations.
    var objects: [String] = []
    /// The elements of the maps from taps to them.
    var sendingBytes: [String] = []
    var sendingPackets: [String] = []
    var receivingPackets: [String] = []
    private static let leastPackets: Int64 = 10

    /// The limits of some machines.
    init(_ machines: [FirewallPlan.Machine]) {
        for machine in machines {
            if let bytes = machine.interface.sends?.bytesPerSecond {
                let burst = TrafficShape.burst(machine.interface.sends, bytes)
                add("s\(machine.number)", "\(bytes) bytes/second burst \(burst) bytes")
                sendingBytes.append("\"\(machine.tap)\" : \"s\(machine.number)\"")
            }
            if let packets = machine.interface.sends?.operationsPerSecond {
                add("p\(machine.number)", FirewallLimits.packets(packets))
                sendingPackets.append("\"\(machine.tap)\" : \"p\(machine.number)\"")
            }
            if let packets = machine.interface.receives?.operationsPerSecond {
                add("r\(machine.number)", FirewallLimits.packets(packets))
                receivingPackets.append("\"\(machine.tap)\" : \"r\(machine.number)\"")
            }
        }
    }

    private static func packets(_ count: Int64) -> String {
        "\(max(count, 1))/second burst \(max(count / 10, leastPackets)) packets"
    }

    private mutating func add(_ name: String, _ rate: String) {
        objects += ["limit \(name) { rate over \(rate)", "}"]
    }
}
