import CoveyModel
import CoveyNetwork
import CoveySystem
import Testing

@testable import CoveyHostNetwork

@Suite struct CodecTests {
    @Test("A request has the bytes that netlink(7) says") func request() {
        let message = NetlinkMessage.change(5, LinkChange(mtu: 1450, isUp: true))
        #expect(
            message.encoded(sequence: 7) == [
                40, 0, 0, 0, 16, 0, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,
                8, 0, 4, 0, 0xAA, 5, 0, 0,
            ])
    }

    @Test("Attributes are padded to four bytes and read back") func attributes() {
        let bytes =
            NetlinkAttribute.encoded(3, Array("eth0".utf8) + [0]) + NetlinkAttribute.encoded(4, UInt32(9).native)
        #expect(bytes.count == 20)
        let read = NetlinkAttribute.list(bytes[...])
        #expect(read.map(\.type) == [3, 4])
        #expect(read.first?.text == "eth0")
        #expect(read.last?.integer(as: UInt32.self) == 9)
    }

    @Test("What is cut off or lies about its length ends a list") func truncation() {
        let whole = NetlinkMessage.newBridge("b0", mac: MACAddress(bits: 1), mtu: 1500).encoded(sequence: 1)
        for count in 0..<whole.count { #expect(NetlinkAnswer.list(Array(whole.prefix(count))).isEmpty) }
        #expect(NetlinkAnswer.list(whole).count == 1)
        #expect(NetlinkAttribute.list([3, 0, 1, 0]).isEmpty)
        #expect(NetlinkAttribute.list([9, 0, 1, 0, 0]).isEmpty)
    }

    @Test("Names fit into fifteen characters and carry the instance and the id's tail") func names() throws {
        let names = HostNames(instance: try #require(InstanceID("0a1b2c3d")))
        let network = try #require(NetworkID("0190f3a0-0000-7000-8000-00a1b2c3d4e5"))
        #expect(names.bridge(network) == "b0a1b2c3dc3d4e5")
        #expect(names.tap(0xF) == "t0a1b2c3d00000f")
        #expect(names.number("t0a1b2c3d00000f") == "00000f")
        #expect(names.number("t0a1b2c3d00000g") == nil)
        #expect("\(HostNames.mac(network))" == "06:a1:b2:c3:d4:e5")
    }

    @Test("A table of sockets tells who listens, of both versions") func sockets() {
        let tcp = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0
               1: 0100007F:1F91 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 100 0 0 10 0
            """
        #expect(
            SocketTable.entries(tcp, .tcp) == [
                SocketTable.Entry(address: .v4(IPv4Address(bits: 0x7F00_0001)), port: 8080, inode: 4242)
            ])
        let udp = """
              sl  local_address                         remote_address                        st tx_queue rx_queue
               0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 77 2 0 0
            """
        #expect(
            SocketTable.entries(udp, .udp) == [
                SocketTable.Entry(address: .v6(IPv6Address(high: 0, low: 1)), port: 53, inode: 77)
            ])
    }
}
