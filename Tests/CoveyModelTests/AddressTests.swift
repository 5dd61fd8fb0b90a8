import CoveyModel
import Testing

@Suite struct AddressTests {
    @Test(
        "an IPv4 address is four decimals, and its text is read back",
        arguments: [
            ("0.0.0.0", 0), ("10.83.0.5", 0x0A53_0005), ("255.255.255.255", 0xFFFF_FFFF), ("127.0.0.1", 0x7F00_0001),
        ] as [(String, UInt32)])
    func four(_ text: String, _ bits: UInt32) {
        let address = IPv4Address(text)
        #expect(address == IPv4Address(bits: bits) && address?.description == text)
        #expect(address?.bytes.reduce(0) { $0 << 8 | UInt32($1) } == bits)
    }

    @Test(
        "what is no IPv4 address is refused",
        arguments: [
            "", "1.2.3", "1.2.3.4.5", "1.2.3.4.", ".1.2.3.4", "1..2.3", "256.0.0.1", "01.2.3.4", "1.2.3.04", "+1.2.3.4",
            "-1.2.3.4", "1.2.3.4 ", " 1.2.3.4", "0x1.2.3.4", "1.2.3.4\n", "1.2.3.٤", "１.2.3.4", "9999.1.1.1",
            "1.2.3.4\0", "1,2,3,4",
        ])
    func notFour(_ text: String) { #expect(IPv4Address(text) == nil) }

    @Test(
        "IPv6 is read in every form of RFC 4291, and written as RFC 5952 has it",
        arguments: [
            ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("2001:db8::1", "2001:db8::1"),
            ("2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("::ffff:1.2.3.4", "::ffff:102:304"),
            ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
            ("FD00::ABCD", "fd00::abcd"), ("1:0:0:4:0:0:7:8", "1::4:0:0:7:8"), ("0:0:0:0:0:0:0:1", "::1"),
        ])
    func six(_ text: String, _ canonical: String) {
        let address = IPv6Address(text)
        #expect(address?.description == canonical)
        #expect(IPv6Address(canonical) == address)
    }

    @Test(
        "what is no IPv6 address is refused",
        arguments: [
            "", ":", ":::", "1", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8:", ":1:2:3:4:5:6:7:8",
            ":1::2", "1::2:", "1::2::3", "1:2:3:4::5:6:7:8", "::1:2:3:4:5:6:7:8", "12345::", "g::", "+1::", "-1::",
            "::+1",
            "::1%eth0", "[::1]", "::1 ", " ::1", "::1.2.3", "::1.2.3.4:5", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4",
            "::01.2.3.4",
            "fd00::/64", "１::", "::\0", "1:::2", "1.2.3.4", "::ffff:999.1.1.1",
        ])
    func notSix(_ text: String) { #expect(IPv6Address(text) == nil, "\(text)") }

    @Test("a random IPv6 address is read back from its text")
    func sixRoundTrip() {
        for _ in 0..<500 {
            // Groups of zeros are what is hard.
            let mask = UInt64.random(in: .min ... .max) & .random(in: .min ... .max)
            let address = IPv6Address(high: mask & .random(in: .min ... .max), low: mask &* 0xFFFF_0001)
            #expect(IPv6Address(address.description) == address, "\(address)")
            #expect(address.bytes.count == 16)
        }
    }

    @Test("MAC addresses are six pairs of hex, written in lower case")
    func mac() {
        let address = MACAddress("02:00:5E:10:00:aF")
        #expect(address?.description == "02:00:5e:10:00:af")
        #expect(address?.bytes == [2, 0, 0x5E, 0x10, 0, 0xAF] && address?.isUnicast == true)
        #expect(MACAddress("01:00:5e:00:00:01")?.isUnicast == false)
        #expect(MACAddress("00:00:00:00:00:00")?.isUnicast == false)
        for text in [
            "", "02:00:5e:10:00", "02:00:5e:10:00:af:01", "2:0:5e:10:0:af", "02-00-5e-10-00-af", "02:00:5e:10:00:ag",
            "02:00:5e:10:00:af ", "02005e1000af", "+2:00:5e:10:00:af",
        ] {
            #expect(MACAddress(text) == nil, "\(text)")
        }
        #expect(
            MACAddress("02:00:5e:10:00:af").map { IPv6Address.linkLocal($0).description } == "fe80::5eff:fe10:af")
    }

    @Test("a block has nothing set behind its length, contains its addresses alone, and overlaps what shares one")
    func blocks() throws {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32", "fd00::/64", "::/0", "fd00::1/128", "fd00::/7"] {
            // fd00 has a bit behind 7.
            #expect((AddressBlock(text)?.description == text) == (text != "fd00::/7"), "\(text)")
        }
        for text in [
            "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "/8", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8/8",
            "fd00::/129", "fd00::1/64", "fd00::/64%1", "10.0.0/8", "",
        ] {
            #expect(AddressBlock(text) == nil, "\(text)")
        }
        #expect(AddressBlock("10.1.2.3")?.description == "10.1.2.3/32")
        let block = try #require(AddressBlock("10.83.0.0/20"))
        #expect(block.contains(try #require(IPAddress("10.83.15.255"))))
        #expect(!block.contains(try #require(IPAddress("10.83.16.0"))))
        #expect(!block.contains(try #require(IPAddress("::ffff:10.83.0.1"))))
        for (other, overlaps) in [
            ("10.83.15.0/24", true), ("10.0.0.0/8", true), ("10.83.16.0/20", false), ("::/0", false),
        ] {
            let other = try #require(AddressBlock(other))
            #expect(block.overlaps(other) == overlaps && other.overlaps(block) == overlaps)
        }
    }

    @Test("addresses are stored as their text, and one that cannot be read is an error")
    func coding() throws {
        struct Held: Codable, Hashable {
            var four: IPv4Address
            var any: IPAddress
            var mac: MACAddress
            var block: AddressBlock
        }
        let json = #"{"any":"fd00::1","block":"10.0.0.0/8","four":"10.0.0.1","mac":"02:00:00:00:00:01"}"#
        let held = try decode(Held.self, json)
        #expect(held.any == .v6(IPv6Address(high: 0xFD00 << 48, low: 1)))
        #expect(try encode(held) == json)
        #expect(throws: DecodingError.self) {
            try decode(Held.self, json.replacing("10.0.0.0/8", with: "10.0.0.1/8"))
        }
    }
}

@Suite struct AddressPlanTests {
    private func plan(_ block: String, _ block6: String? = nil) throws -> AddressPlan {
        let four = try #require(AddressBlock(block))
        return try #require(AddressPlan(NetworkSpec(block: four, block6: block6.flatMap { AddressBlock($0) })))
    }

    private func use(_ plan: AddressPlan, _ text: String) throws -> AddressUse {
        plan.use(of: try #require(IPAddress(text)))
    }

    @Test("network, gateway, node and broadcast have their addresses, and machines the rest")
    func uses() throws {
        let plan = try plan("10.83.0.0/24", "fd00:1::/64")
        #expect(plan.machines == 2...253)
        let table: [(String, AddressUse)] = [
            ("10.83.0.0", .network), ("10.83.0.1", .gateway), ("10.83.0.2", .machine), ("10.83.0.253", .machine),
            ("10.83.0.254", .node), ("10.83.0.255", .broadcast), ("10.83.1.0", .outside), ("10.82.255.255", .outside),
            ("fd00:1::", .network), ("fd00:1::1", .gateway), ("fd00:1::2", .machine), ("fd00:1::fe", .node),
            ("fd00:1::ff", .machine), ("fd00:1::1:0:0:0", .machine), ("fd00:2::2", .outside), ("::2", .outside),
        ]
        for (text, wanted) in table { #expect(try use(plan, text) == wanted, "\(text)") }
    }

    @Test("every place of every size of block is a machine's, or is said to be another's", arguments: 16...30)
    func everyPlace(_ length: Int) throws {
        let plan = try plan("10.64.0.0/\(length)")
        let size = UInt32(1) << UInt32(32 - length)
        let step = max(1, size / 512)
        for place in Set(stride(from: 0, to: size, by: Int(step)).map { $0 } + [0, 1, 2, size - 3, size - 2, size - 1])
        {
            let address = plan.address(at: place)
            #expect(plan.place(of: address) == place)
            #expect((plan.use(of: .v4(address)) == .machine) == plan.machines.contains(place), "\(address)/\(length)")
        }
        #expect(plan.machines.count == (length == 30 ? 1 : Int(size) - 4))
        #expect(plan.place(of: plan.address(at: size)) == nil)
    }

    @Test("a network without IPv6 has no such addresses, and one has a place's or a random one")
    func six() throws {
        #expect(try plan("10.0.0.0/16").address6(at: 2) == nil)
        #expect(try use(plan("10.0.0.0/16"), "fd00::2") == .outside)
        let plan = try plan("10.0.0.0/16", "fd00::/64")
        #expect(plan.address6(at: 0xABCD)?.description == "fd00::abcd")
        let random = try #require(plan.address6(random: 5))
        #expect(plan.use(of: .v6(random)) == .machine && random.low > 0xFFFF)
    }

    @Test("the MAC addresses that a network gives are its own, local, and one for each place")
    func macs() {
        let (one, two) = (NetworkID(high: 1, low: 0xABCD_EF01), NetworkID(high: 1, low: 0xABCD_EF02))
        let macs = (0..<65536).map { MACAddress(one, place: $0) }
        #expect(Set(macs).count == 65536)
        #expect(macs.allSatisfy { $0.isUnicast && $0.isGiven(by: one) && !$0.isGiven(by: two) })
        #expect(macs[5].description == "02:cd:ef:01:00:05")
    }
}
