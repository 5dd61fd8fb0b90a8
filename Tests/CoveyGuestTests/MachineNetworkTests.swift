import CoveyGuestProtocol
import CoveyModel
import CoveyTesting
import Testing

@testable import CoveyGuest

/// Interfaces are set in a network namespace of the test's own, and looked at with iproute2.
@Suite("A machine's interfaces")
struct MachineNetworkTests {
    private static let mac = MACAddress(bits: 0x0200_5E10_0001)

    private static func interface(_ last: UInt32, mtu: Int = 1450) -> GuestInterface {
        GuestInterface(
            mac: mac,
            addresses: [
                GuestAddress(.v4(IPv4Address(bits: 0x0A01_0200 + last)), prefix: 24),
                GuestAddress(.v6(IPv6Address(high: 0xFD00_0001_0000_0000, low: UInt64(last))), prefix: 64),
            ], gateway: IPv4Address(bits: 0x0A01_0201), gateway6: IPv6Address(high: 0xFD00_0001_0000_0000, low: 1),
            mtu: mtu)
    }

    @Test("addresses, routes and length of packets are set, at once of use, and set again without harm")
    func set() async throws {
        let network = try await PrivateNetwork()
        try await network.shell(
            "ip link add e0 address \(Self.mac) type veth peer name peer0; ip link set peer0 up")
        let wanted = GuestNetwork(interfaces: [Self.interface(5)])
        for _ in 0..<2 {
            try await network.run {
                try MachineNetwork.loopback()
                try MachineNetwork.apply(wanted, replacing: nil)
            }
            let links = try await network.shell("ip -o link show up")
            #expect(links.contains("lo: <LOOPBACK,UP"))
            #expect(links.contains(" e0@peer0: ") && links.contains("mtu 1450"))
            let addresses = try await network.shell("ip -o addr show dev e0")
            #expect(addresses.contains("inet 10.1.2.5/24 brd 10.1.2.255 scope global e0"))
            #expect(addresses.contains("inet6 fd00:1::5/64 scope global nodad"))
            #expect(!addresses.contains("tentative"), "an address that is still asked for is of no use")
            #expect(
                try await network.shell("ip route show default; ip -6 route show default").split(separator: "\n").map {
                    $0.split(separator: " ").prefix(7).joined(separator: " ")
                } == ["default via 10.1.2.1 dev e0 metric 100", "default via fd00:1::1 dev e0 metric 100"])
            #expect(try await network.shell("cat /proc/sys/net/ipv6/conf/e0/accept_ra") == "0\n")
        }
    }

    @Test("a changed network takes away what the earlier one set, and leaves what others set")
    func change() async throws {
        let network = try await PrivateNetwork()
        try await network.shell("ip link add e0 address \(Self.mac) type veth peer name peer0; ip link set peer0 up")
        let first = GuestNetwork(interfaces: [Self.interface(5)])
        try await network.run { try MachineNetwork.apply(first, replacing: nil) }
        try await network.shell("ip addr add 192.0.2.9/32 dev e0")
        var second = GuestNetwork(interfaces: [Self.interface(6, mtu: 1400)])
        second.interfaces[0].gateway = IPv4Address(bits: 0x0A01_02FE)
        second.interfaces[0].gateway6 = nil
        let changed = second
        try await network.run { try MachineNetwork.apply(changed, replacing: first) }
        let addresses = try await network.shell("ip -o addr show dev e0")
        #expect(!addresses.contains("10.1.2.5/") && !addresses.contains("fd00:1::5/"))
        #expect(addresses.contains("10.1.2.6/24") && addresses.contains("fd00:1::6/64"))
        #expect(addresses.contains("192.0.2.9/32"))
        let routes = try await network.shell("ip route show default; ip -6 route show default")
        #expect(routes.hasPrefix("default via 10.1.2.254 dev e0") && routes.split(separator: "\n").count == 1)
        try await network.run { try MachineNetwork.apply(GuestNetwork(), replacing: changed) }
        let left = try await network.shell("ip -o addr show dev e0; ip -o link show up")
        #expect(!left.contains("10.1.2.6") && !left.contains(" e0@"))
    }

    @Test("a device keeps its place where its address is another's: a copied machine takes on its own")
    func assign() {
        func link(_ index: UInt32, _ mac: UInt64, isDevice: Bool = true) -> RouteLink {
            RouteLink(index: index, name: "l\(index)", mac: MACAddress(bits: mac), isDevice: isDevice)
        }
        func assigned(_ macs: [UInt64], _ links: [RouteLink]) -> [UInt32]? {
            let interfaces = macs.map { GuestInterface(mac: MACAddress(bits: $0), addresses: [], mtu: 1500) }
            return MachineNetwork.assign(interfaces, to: links)?.map(\.index)
        }
        let links = [link(1, 0, isDevice: false), link(3, 0x33), link(2, 0x22), link(9, 0x99, isDevice: false)]
        #expect(assigned([0x22, 0x33], links) == [2, 3])
        #expect(assigned([0x33, 0x22], links) == [3, 2])
        #expect(assigned([0x44, 0x55], links) == [2, 3])
        #expect(assigned([0x44, 0x22], links) == [3, 2])
        #expect(assigned([0x99], links) == [9])
        #expect(assigned([0x44, 0x55, 0x66], links) == nil)
        #expect(assigned([], links) == [])
    }
}
