import CoveyModel
import CoveyNetwork
import CoveySystem
import Testing

@testable import CoveyHostNetwork

@Suite struct ForgeryTests {
    /// Frames that a machine may not send, by what is false about them.
    static let forgeries = [
        "source MAC", "source address", "address of another network", "ARP for another", "ARP with another MAC",
        "gateway's ARP", "VLAN", "IPv6 source", "neighbour advertisement", "router advertisement", "DHCP answer",
    ]

    private struct Pair {
        var network: HostedNetwork
        var own: HostedInterface
        var other: HostedInterface
    }

    private func frame(_ what: String, _ pair: Pair) throws -> [UInt8] {
        let (own, other) = (pair.own, pair.other)
        let six = try #require(own.address6)
        let other6 = try #require(other.address6)
        let all = try #require(IPv6Address("ff02::1"))
        let wide = MACAddress(bits: 0xFFFF_FFFF_FFFF)
        let gateway = pair.network.spec.gateway
        switch what {
        case "source MAC":
            return Frame.ethernet(
                to: other.mac, from: MACAddress(bits: 0x02_0000_0000_99), 0x0800,
                Frame.udp4(from: own.address, to: other.address, port: 9))
        case "source address":
            return Frame.ethernet(
                to: other.mac, from: own.mac, 0x0800,
                Frame.udp4(from: IPv4Address(bits: own.address.bits + 50), to: other.address, port: 9))
        case "address of another network":
            return Frame.ethernet(
                to: HostNames.mac(pair.network.id), from: own.mac, 0x0800,
                Frame.udp4(
                    from: try #require(IPv4Address("10.2.0.2")), to: try #require(IPv4Address(Host.outside)), port: 9))
        case "ARP for another", "gateway's ARP":
            let claimed = what == "gateway's ARP" ? gateway : other.address
            return Frame.ethernet(
                to: wide, from: own.mac, 0x0806,
                Frame.arp(operation: 2, mac: own.mac, address: claimed, target: claimed))
        case "ARP with another MAC":
            return Frame.ethernet(
                to: wide, from: own.mac, 0x0806,
                Frame.arp(operation: 2, mac: other.mac, address: own.address, target: own.address))
        case "VLAN":
            return Frame.ethernet(
                to: other.mac, from: own.mac, 0x8100,
                [0, 5, 8, 0] + Frame.udp4(from: own.address, to: other.address, port: 9))
        case "IPv6 source":
            return Frame.ethernet(
                to: other.mac, from: own.mac, 0x86DD, Frame.icmp6(from: other6, to: all, [128, 0, 0, 0, 0, 1, 0, 1]))
        case "neighbour advertisement":
            return Frame.ethernet(
                to: wide, from: own.mac, 0x86DD,
                Frame.icmp6(
                    from: six, to: all,
                    [136, 0, 0, 0, 0x20, 0, 0, 0] + IPAddress.v6(other6).bytes + [2, 1] + own.mac.bytes))
        case "router advertisement":
            return Frame.ethernet(
                to: wide, from: own.mac, 0x86DD,
                Frame.icmp6(
                    from: .linkLocal(own.mac), to: all, [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]))
        case "DHCP answer":
            return Frame.ethernet(
                to: other.mac, from: own.mac, 0x0800,
                Frame.udp4(from: own.address, to: other.address, port: 68, from: 67))
        case let what: throw CoveyError(.invalid, "no such forgery: \(what)")
        }
    }

    @Test("A frame that lies is dropped before the bridge, and counted", arguments: forgeries)
    func forged(_ what: String) async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let pair = Pair(
                network: network, own: try network.makeInterface(2), other: try network.makeInterface(3))
            try await host.carry([network], [pair.own, pair.other])
            let machine = try await Machine(pair.own, network, on: host)
            let neighbour = try await Machine(pair.other, network, on: host)
            try await withServer(in: neighbour.namespace, 9) { server in
                for _ in 0..<5 { try machine.send(frame: try frame(what, pair)) }
                try await eventually("five frames are counted") {
                    try await host.network.figures()[pair.own.key]?.forgedPackets ?? 0 >= 5
                }
                // What is true comes through behind them, on the same way.
                try machine.send(
                    frame: Frame.ethernet(
                        to: pair.other.mac, from: pair.own.mac, 0x0800,
                        Frame.udp4(from: pair.own.address, to: pair.other.address, port: 9)))
                try await eventually("the true one arrives") { server.texts == ["forged"] }
                #expect(try await host.network.figures()[pair.own.key]?.forgedPackets == 5)
            }
            let learnt = try await neighbour.namespace.run {
                try HostProgram(name: "ip", package: "iproute2").run(["neighbour"]).text
            }
            #expect(
                !String(decoding: learnt, as: UTF8.self).contains(
                    "\(network.spec.gateway) dev eth0 lladdr \(pair.own.mac)"))
        }
    }

    @Test("A tap of ours that the firewall does not know passes nothing") func unknownTap() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let (interface, other) = (try network.makeInterface(2), try network.makeInterface(3))
            try await host.carry([network], [interface])
            let names = host.names
            let tap = names.tap(0xABCDEF)
            try await host.namespace.run {
                try TapDevice.make(tap, owner: 0) {}
                var netlink = try NetlinkSocket()
                let bridge = try netlink.links().first { $0.name == names.bridge(network.id) }
                try netlink.perform(.change(name: tap, LinkChange(master: bridge?.index, isUp: true)), tap)
            }
            let stranger = try await Machine(other, network, on: host, tap: tap)
            await #expect(throws: SystemError.self) {
                _ = try await Client.connect(from: stranger.namespace, "10.1.0.1", 53)
            }
            let listing = try await host.output("nft", ["list", "counters", "table", "bridge", names.table])
            #expect(listing.contains("packets 0"))
        }
    }
}
