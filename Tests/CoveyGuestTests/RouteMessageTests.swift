import CoveyModel
import Testing

@testable import CoveyGuest

/// The bytes that iproute2 6.1 sends for the same, seen with strace.
@Suite("Messages about links, addresses and routes")
struct RouteMessageTests {
    private static let gateway6 = IPAddress.v6(IPv6Address(high: 0xFD00_0001_0000_0000, low: 1))

    @Test("a link is switched on as `ip link set dev … mtu 1450 up` does it")
    func link() {
        #expect(
            hex(RouteMessage.link(3, isUp: true, mtu: 1450).bytes(sequence: 7))
                == "2800000010000500" + "0700000000000000" + "0000000003000000" + "0100000001000000"
                + "08000400aa050000")
        #expect(
            hex(RouteMessage.link(3, isUp: false).bytes(sequence: 7))
                == "2000000010000500" + "0700000000000000" + "0000000003000000" + "0000000001000000")
        #expect(
            hex(RouteMessage.address(MACAddress(bits: 0x0200_5E10_0001), of: 3).bytes(sequence: 7))
                == "2c00000010000500" + "0700000000000000" + "0000000003000000" + "0000000000000000"
                + "0a00010002005e1000010000")
    }

    @Test("addresses are added and removed as `ip addr replace` and `ip addr del` do it, an IPv6 one without asking")
    func addresses() {
        let four = RouteMessage.LinkAddress(address: .v4(IPv4Address(bits: 0x0A01_0203)), prefix: 24)
        let six = RouteMessage.LinkAddress(
            address: .v6(IPv6Address(high: 0xFD00_0001_0000_0000, low: 5)), prefix: 64)
        #expect(
            hex(RouteMessage.add(four, to: 3).bytes(sequence: 7))
                == "3000000014000505" + "0700000000000000" + "0218000003000000"
                + "080002000a010203" + "080004000a0102ff" + "080001000a010203")
        #expect(
            hex(RouteMessage.add(six, to: 3).bytes(sequence: 7))
                == "4000000014000505" + "0700000000000000" + "0a40020003000000"
                + "14000200fd000001000000000000000000000005" + "14000100fd000001000000000000000000000005")
        #expect(
            hex(RouteMessage.remove(four, from: 3).bytes(sequence: 7))
                == "2800000015000500" + "0700000000000000" + "0218000003000000"
                + "080002000a010203" + "080001000a010203")
    }

    @Test("default routes are set as `ip route replace default via … metric 100` does it")
    func routes() {
        #expect(
            hex(
                RouteMessage.addDefault(.v4(IPv4Address(bits: 0x0A01_0201)), by: 3, metric: 100).bytes(sequence: 7))
                == "3400000018000505" + "0700000000000000" + "02000000fe030001" + "00000000"
                + "080005000a010201" + "0800060064000000" + "0800040003000000")
        #expect(
            hex(RouteMessage.removeDefault(Self.gateway6, by: 3, metric: 101).bytes(sequence: 7))
                == "4000000019000500" + "0700000000000000" + "0a000000fe030001" + "00000000"
                + "14000500fd000001000000000000000000000001" + "0800060065000000" + "0800040003000000")
    }

    @Test("a link is read from what the kernel says; one that is cut off is none, and software's is no device")
    func links() throws {
        var body: [UInt8] = [0, 0, 1, 0]
        body.append(native: UInt32(2))
        body += [UInt8](repeating: 0, count: 8)
        let ethernet: [UInt8] = [10, 0, 1, 0, 2, 0, 0x5E, 0x10, 0, 1, 0, 0]
        let name: [UInt8] = [9, 0, 3, 0] + Array("eth0".utf8) + [0, 0, 0, 0]
        let kind: [UInt8] = [8, 0, 18, 128, 1, 2, 3, 4]
        #expect(
            RouteLink((body + ethernet + name)[...])
                == RouteLink(index: 2, name: "eth0", mac: MACAddress(bits: 0x0200_5E10_0001), isDevice: true))
        #expect(RouteLink((body + ethernet + name + kind)[...])?.isDevice == false)
        #expect(RouteLink(([0, 0, 4, 3] + body.dropFirst(4))[...])?.isDevice == false)
        #expect(RouteLink(body.prefix(15)) == nil)
        #expect(RouteLink((body + [200, 0, 1, 0])[...]) == nil)
        #expect(RouteLink((body + [3, 0, 1, 0])[...]) == nil)
    }
}
