import CoveyModel
import CoveyNames
import CoveyNetwork
import Testing

/// Networks and machines with short names, made by number.
struct Fixture {
    var state = NameState()

    /// A network with the block `A.B.N.0/24` and, where wanted, `fd00:0:0:N::/64`.
    mutating func network(
        _ number: UInt64, tenant: String = "default", block: String? = nil, block6: String? = nil,
        isolated: Bool = true, egress: EgressPolicy = .open
    ) throws -> NetworkID {
        let id = NetworkID(high: 1, low: number)
        var spec = NetworkSpec(
            block: try #require(AddressBlock(block ?? "10.9.\(number).0/24")), isolated: isolated, egress: egress)
        spec.block6 = try block6.map { try #require(AddressBlock($0)) }
        state.networks.append(HostedNetwork(id: id, tenant: tenant, name: "net-\(number)", spec: spec))
        return id
    }

    /// A machine's interface.
    @discardableResult
    mutating func machine(
        _ name: String, _ network: NetworkID, _ address: String, six: String? = nil, tenant: String = "default",
        number: UInt64? = nil, index: Int = 0, egress: EgressPolicy? = nil
    ) throws -> InterfaceKey {
        let number = number ?? UInt64(state.interfaces.count + 1)
        let key = InterfaceKey(machine: MachineID(high: 2, low: number), index: index)
        state.interfaces.append(
            HostedInterface(
                key: key, name: name, tenant: tenant, network: network,
                mac: MACAddress(bits: 0x0200_0000_0000 | number),
                address: try v4(address), address6: try six.map { try #require(IPv6Address($0)) }, owner: 1,
                egress: egress))
        return key
    }

    var table: NameTable { NameTable(state) }
}

extension NameTable {
    func addresses(_ text: String, _ asker: Asker) throws -> [String]? { try addresses(text, .a, asker) }

    /// What a name answers, in order; nil where there is no such name.
    func addresses(_ text: String, _ type: DNSType, _ asker: Asker) throws -> [String]? {
        switch answer(DNSQuestion(try name(text), type), asker) {
        case .records(let records):
            return records.map { record in
                switch record.content {
                case .address(let address): address.description
                case .name(let name): name.description
                case .authority, .other: "other"
                }
            }
        case .absent: return nil
        case .foreign: return ["foreign"]
        }
    }
}

@Suite struct NameTableTests {
    @Test("machines of a network see each other by name, by tenant, in both versions and backwards")
    func oneNetwork() throws {
        var fixture = Fixture()
        let net = try fixture.network(1, block6: "fd00:0:0:1::/64")
        let web = try fixture.machine("web", net, "10.9.1.10", six: "fd00:0:0:1::10")
        try fixture.machine("db", net, "10.9.1.11")
        let table = fixture.table
        let asker = try #require(table.asker(try address("10.9.1.10"), through: net))
        #expect(asker == .interface(web, net))
        #expect(try table.addresses("db.vm", asker) == ["10.9.1.11"])
        #expect(try table.addresses("DB.Default.VM", asker) == ["10.9.1.11"])
        #expect(try table.addresses("web.vm", .aaaa, asker) == ["fd00:0:0:1::10"])
        #expect(try table.addresses("web.vm", .any, asker) == ["10.9.1.10", "fd00:0:0:1::10"])
        #expect(try table.addresses("11.1.9.10.in-addr.arpa", .ptr, asker) == ["db.vm"])
        let six = ReverseName.name(try address("fd00:0:0:1::10"))
        #expect(try table.addresses(six.description, .ptr, asker) == ["web.vm"])
        // A name without records of a type is there; one that nobody has is not.
        #expect(try table.addresses("db.vm", .aaaa, asker) == [])
        #expect(try table.addresses("db.vm", .mx, asker) == [])
        #expect(try table.addresses("nobody.vm", asker) == nil)
        #expect(try table.addresses("db.other.vm", asker) == nil)
        #expect(try table.addresses("x.db.default.vm", asker) == nil)
        #expect(try table.addresses("default.vm", asker) == [])
        #expect(try table.addresses("vm", .soa, asker) == ["other"])
    }

    @Test("the gateway is host.vm and gateway.vm, also for machines with these names")
    func gateway() throws {
        var fixture = Fixture()
        let net = try fixture.network(1, block6: "fd00:0:0:1::/64")
        try fixture.machine("host", net, "10.9.1.10")
        let table = fixture.table
        let asker = Asker.stranger(net)
        #expect(try table.addresses("host.vm", asker) == ["10.9.1.1"])
        #expect(try table.addresses("gateway.vm", .aaaa, asker) == ["fd00:0:0:1::1"])
        #expect(try table.addresses("host.default.vm", asker) == ["10.9.1.10"])
        #expect(try table.addresses("1.1.9.10.in-addr.arpa", .ptr, asker) == ["host.vm"])
        #expect(try table.addresses("host.vm", .host) == ["127.0.0.1"])
    }

    @Test(
        "a machine of another network is seen just where neither network is isolated",
        arguments: [(true, true), (true, false), (false, true), (false, false)])
    func isolation(_ first: Bool, _ second: Bool) throws {
        var fixture = Fixture()
        let one = try fixture.network(1, isolated: first)
        let two = try fixture.network(2, tenant: "other", isolated: second)
        try fixture.machine("web", one, "10.9.1.10")
        try fixture.machine("db", two, "10.9.2.10", tenant: "other")
        let table = fixture.table
        let asker = try #require(table.asker(try address("10.9.1.10"), through: one))
        let sees = !first && !second
        #expect(try table.addresses("db.other.vm", asker) == (sees ? ["10.9.2.10"] : nil))
        #expect(try table.addresses("10.2.9.10.in-addr.arpa", .ptr, asker) == (sees ? ["db.other.vm"] : nil))
        #expect(try table.addresses("other.vm", asker) == (sees ? [] : nil))
        // A bare name is always one of the asker's tenant.
        #expect(try table.addresses("db.vm", asker) == nil)
        // Reverse names of our blocks stay with us, those of others do not.
        #expect(try table.addresses("77.2.9.10.in-addr.arpa", .ptr, asker) == nil)
        #expect(try table.addresses("77.2.8.10.in-addr.arpa", .ptr, asker) == ["foreign"])
        // The host sees all.
        #expect(try table.addresses("db.other.vm", .host) == ["10.9.2.10"])
        #expect(try table.addresses("web.vm", .host) == ["10.9.1.10"])
    }

    @Test("a machine with interfaces in two networks is seen by the near one where there is one, else by all in reach")
    func twoInterfaces() throws {
        var fixture = Fixture()
        let one = try fixture.network(1, isolated: false)
        let two = try fixture.network(2, isolated: false)
        let three = try fixture.network(3, isolated: false)
        let four = try fixture.network(4, isolated: true)
        try fixture.machine("web", one, "10.9.1.10", number: 1, index: 0)
        try fixture.machine("web", two, "10.9.2.10", number: 1, index: 1)
        let table = fixture.table
        #expect(try table.addresses("web.vm", .stranger(one)) == ["10.9.1.10"])
        #expect(try table.addresses("web.vm", .stranger(two)) == ["10.9.2.10"])
        #expect(try table.addresses("web.vm", .stranger(three)) == ["10.9.1.10", "10.9.2.10"])
        #expect(try table.addresses("web.vm", .stranger(four)) == nil)
        #expect(try table.addresses("web.vm", .host) == ["10.9.1.10", "10.9.2.10"])
    }

    @Test("a bare name on a shared network is of the tenant whose machine asks")
    func sharedNetwork() throws {
        var fixture = Fixture()
        let net = try fixture.network(1)
        try fixture.machine("web", net, "10.9.1.10", tenant: "red")
        try fixture.machine("web", net, "10.9.1.20", tenant: "blue")
        let table = fixture.table
        let red = try #require(table.asker(try address("10.9.1.10"), through: net))
        let blue = try #require(table.asker(try address("10.9.1.20"), through: net))
        #expect(try table.addresses("web.vm", red) == ["10.9.1.10"])
        #expect(try table.addresses("web.vm", blue) == ["10.9.1.20"])
        #expect(try table.addresses("web.blue.vm", red) == ["10.9.1.20"])
        #expect(try table.addresses("20.1.9.10.in-addr.arpa", .ptr, red) == ["web.blue.vm"])
    }

    @Test("who asks is told by the address and the network together; foreign addresses are nobody's")
    func askers() throws {
        var fixture = Fixture()
        let net = try fixture.network(1, block6: "fd00:0:0:1::/64", egress: .closed)
        let other = try fixture.network(2)
        let web = try fixture.machine("web", net, "10.9.1.10", egress: .open)
        let db = try fixture.machine("db", net, "10.9.1.11")
        let table = fixture.table
        #expect(table.asker(try address("10.9.1.10"), through: net) == .interface(web, net))
        #expect(table.asker(.v6(.linkLocal(MACAddress(bits: 0x0200_0000_0001))), through: net) == .interface(web, net))
        #expect(table.asker(try address("10.9.1.99"), through: net) == .stranger(net))
        #expect(table.asker(try address("10.9.1.10"), through: other) == nil)
        #expect(table.asker(try address("8.8.8.8"), through: net) == nil)
        #expect(table.asker(try address("fd00:0:0:1::77"), through: net) == .stranger(net))
        // A machine's own policy goes before its network's.
        #expect(table.egress(.interface(web, net)) == .open)
        #expect(table.egress(.interface(db, net)) == .closed)
        #expect(table.egress(.stranger(net)) == .closed)
    }

    @Test("reverse names and addresses lead to each other, and what is no whole address is none")
    func reverse() throws {
        for text in ["10.1.2.3", "fd00::1:2", "::1", "255.255.255.255"] {
            #expect(ReverseName.address(ReverseName.name(try address(text))) == (try address(text)))
        }
        for text in [
            "2.1.10.in-addr.arpa", "256.2.1.10.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "1.0.ip6.arpa",
            "a.b.c.d.in-addr.arpa",
        ] {
            #expect(ReverseName.address(try name(text)) == nil)
        }
    }
}
