import CoveyModel
import Foundation
import Testing

/// Reads JSON.
func decode<T: Decodable>(_ type: T.Type, _ text: String) throws -> T {
    try JSONDecoder().decode(type, from: Data(text.utf8))
}

/// Writes JSON with sorted keys.
func encode(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}

@Suite struct EgressTests {
    @Test(
        "a rule is read, written canonically, and read back",
        arguments: [
            ("example.com", "example.com"), ("Example.COM:443", "example.com:443"), ("*.debian.org", "*.debian.org"),
            ("*.debian.org:80-90/tcp", "*.debian.org:80-90/tcp"), ("10.0.0.0/8", "10.0.0.0/8"),
            ("1.2.3.4", "1.2.3.4/32"),
            ("10.0.0.0/8:53/udp", "10.0.0.0/8:53/udp"), ("fd00::/64", "fd00::/64"), ("fd00::1", "fd00::1/128"),
            ("[fd00::/64]:443", "[fd00::/64]:443"), ("[fd00::1]", "fd00::1/128"), ("fd00::/64/udp", "fd00::/64/udp"),
            ("a_b.example:1", "a_b.example:1"), ("localhost", "localhost"), ("0.0.0.0/0", "0.0.0.0/0"),
            ("x.y:5-5", "x.y:5"),
        ])
    func rules(_ text: String, _ canonical: String) {
        let rule = EgressRule(text)
        #expect(rule?.description == canonical)
        #expect(EgressRule(canonical) == rule)
    }

    @Test(
        "what is no rule is refused",
        arguments: [
            "", "*", "*.", "**.x", "a*.x", "*.x.*", ".com", "com.", "a..b", "-a.b", "a-.b", "1.2.3", "1.2.3.4.5",
            "300.1.1.1",
            "a b", "a:0", "a:65536", "a:", "a:-1", "a:5-1", "a:1-2-3", "a:80/sctp", "a/tcp/udp", "a/udp/tcp",
            "10.0.0.1/8",
            "10.0.0.0/33", "[fd00::1", "fd00::1]", "[fd00::1]:", "[fd00::1]:/udp", "[fd00::1]x", "[1.2.3.4]:80",
            "[example.com]:80", "[]:80", "fd00::/64:80", "a,b", "é.com", "a\u{0}b",
            "\(String(repeating: "a", count: 64)).com",
            "\(String(repeating: "a.", count: 127))com", "://x", "http://x", "user@host",
        ])
    func noRules(_ text: String) { #expect(EgressRule(text) == nil, "\(text)") }

    @Test("a policy is open, closed or rules, and is stored as its text")
    func policies() throws {
        for text in ["open", "closed", "example.com:443,*.debian.org,10.0.0.0/8:53/udp"] {
            let policy = try #require(EgressPolicy(text))
            #expect(policy.description == text)
            #expect(try encode([policy]) == "[\"\(text)\"]")
            #expect(try decode([EgressPolicy].self, "[\"\(text)\"]") == [policy])
        }
        for text in ["", ",", "example.com,", "open,closed,", "Open ", "a,,b"] {
            #expect(EgressPolicy(text) == nil, "\(text)")
        }
        #expect(EgressPolicy.only([]).description == "closed")
        let many = EgressPolicy.only((0...NetworkSpec.ruleLimit).compactMap { EgressRule("h\($0).example") })
        #expect(throws: CoveyError.self) { try many.check() }
    }
}

@Suite struct PublishedPortTests {
    @Test(
        "a port is read, written and read back",
        arguments: [
            ("8080:80", "8080:80"), ("8080:80/tcp", "8080:80"), ("53:53/udp", "53:53/udp"),
            ("0.0.0.0:80:80", "0.0.0.0:80:80"),
            ("[::1]:80:8080/udp", "[::1]:80:8080/udp"), ("[FD00::1]:1:65535", "[fd00::1]:1:65535"),
            ("80-80:1-1", "80:1"),
        ])
    func reads(_ text: String, _ canonical: String) throws {
        let port = try #require(PublishedPort(text))
        #expect(port.description == canonical && PublishedPort(canonical) == port)
        #expect(try decode([PublishedPort].self, encode([port])) == [port])
    }

    @Test("ranges have one port for each, in order")
    func ranges() {
        let ports = PublishedPort.list("127.0.0.2:8000-8002:80-82/udp")
        #expect(
            ports?.map(\.description) == ["127.0.0.2:8000:80/udp", "127.0.0.2:8001:81/udp", "127.0.0.2:8002:82/udp"])
        #expect(PublishedPort("8000-8001:80-81") == nil)
    }

    @Test(
        "what is no port is refused",
        arguments: [
            "", "80", ":80", "80:", "0:80", "80:0", "65536:80", "80:99999999999999999999", "-1:80", "+80:80",
            "80:80:80",
            "::1:80:80", "[::1]80:80", "[::1:80:80", "[1.2.3.4]:80:80", "[]:80:80", "localhost:80:80", "1.2.3:80:80",
            "80-82:80",
            "82-80:82-80", "80:80/sctp", "80:80/", "80:80/udp/tcp", "80:80/tcp/udp", " 80:80", "80 :80", "80:80\n",
            "a:b",
            "80-:80-", "1.2.3.4:80:80:80", "[::1]:1.2.3.4:80:80", "٨٠:80",
        ])
    func refuses(_ text: String) { #expect(PublishedPort.list(text) == nil, "\(text)") }

    @Test("two ports overlap where both would listen on one address, and loopback is the default")
    func overlaps() throws {
        let table: [(String, String, Bool)] = [
            ("80:1", "80:2", true), ("80:1", "81:1", false), ("80:1", "80:1/udp", false),
            ("80:1", "127.0.0.1:80:9", true),
            ("80:1", "0.0.0.0:80:1", true), ("1.2.3.4:80:1", "0.0.0.0:80:1", true),
            ("1.2.3.4:80:1", "1.2.3.5:80:1", false),
            ("80:1", "[::1]:80:1", false), ("80:1", "[::]:80:1", false), ("[::1]:80:1", "[::]:80:1", true),
        ]
        for (one, other, wanted) in table {
            let (a, b) = (try #require(PublishedPort(one)), try #require(PublishedPort(other)))
            #expect(a.overlaps(b) == wanted && b.overlaps(a) == wanted, "\(one) \(other)")
        }
        let many = try #require(PublishedPort.list("1-33:1-33"))
        #expect(throws: CoveyError.self) { try PublishedPort.check(many) }
        #expect(throws: CoveyError.self) { try PublishedPort.check([many[0], many[0]]) }
        try PublishedPort.check(Array(many.prefix(PublishedPort.limit)))
    }
}

@Suite struct NetworkSpecTests {
    @Test("an attachment is a name, with addresses where they are chosen")
    func attachments() {
        #expect(NetworkAttachment("web") == NetworkAttachment(network: "web"))
        let full = NetworkAttachment("web:ip=10.83.0.9,ip6=fd00::9,mac=0A:00:00:00:00:09")
        #expect(
            full
                == NetworkAttachment(
                    network: "web", address: IPv4Address("10.83.0.9"), address6: IPv6Address("fd00::9"),
                    mac: MACAddress("0a:00:00:00:00:09")))
        for text in [
            "", ":", "web:", "web:ip", "web:ip=", "web:ip=1.2.3", "web:ip=1.2.3.4,", "web:ip=1.2.3.4,ip=1.2.3.4",
            "web:mtu=5", "web:mac=1", "web:ip6=1.2.3.4", "web:ip=fd00::1",
        ] {
            #expect(NetworkAttachment(text) == nil, "\(text)")
        }
    }

    @Test("a limit is bytes, operations and a burst, and says what is wrong with it")
    func limits() throws {
        #expect(TrafficLimit("10M", operations: "iops") == TrafficLimit(bytesPerSecond: 10 << 20))
        #expect(
            TrafficLimit("10M,burst=1M,packets=500", operations: "packets")
                == TrafficLimit(bytesPerSecond: 10 << 20, operationsPerSecond: 500, burstBytes: 1 << 20))
        #expect(TrafficLimit("iops=5", operations: "iops") == TrafficLimit(operationsPerSecond: 5))
        for text in [
            "", "10M,", "10M,10M", "burst", "iops=", "iops=-1", "iops=+1", "packets=1", "10X", "iops=1,iops=2", "x=1",
        ] {
            #expect(TrafficLimit(text, operations: "iops") == nil, "\(text)")
        }
        for bad in [
            TrafficLimit(), TrafficLimit(bytesPerSecond: 0), TrafficLimit(bytesPerSecond: -1),
            TrafficLimit(operationsPerSecond: 0), TrafficLimit(operationsPerSecond: 5, burstBytes: 5000),
            TrafficLimit(bytesPerSecond: 5000, burstBytes: 1), TrafficLimit(bytesPerSecond: .max),
        ] {
            #expect(throws: CoveyError.self) { try bad.check("--disk-limit") }
        }
        try TrafficLimit(bytesPerSecond: 1024, operationsPerSecond: 1, burstBytes: 1024).check("--disk-limit")
    }

    @Test(
        "blocks that no network can have are refused",
        arguments: [
            "10.0.0.0/15", "10.0.0.0/31", "10.0.0.1/32", "127.1.0.0/16", "169.254.0.0/24", "224.0.0.0/16",
            "240.0.0.0/24",
            "0.0.0.0/16", "fd00::/64",
        ])
    func badBlocks(_ text: String) throws {
        let spec = NetworkSpec(block: try #require(AddressBlock(text)))
        let error = #expect(throws: CoveyError.self) { try spec.check() }
        #expect(error?.code == .invalid && error?.remedy != nil)
    }

    @Test("IPv6 is a unique local /64, and asks for larger packets")
    func six() throws {
        let block = try #require(AddressBlock("10.83.0.0/24"))
        func code(_ six: String?, _ mtu: Int = 1450) -> ErrorCode? {
            do {
                try NetworkSpec(block: block, block6: six.flatMap { AddressBlock($0) }, mtu: mtu).check()
                return nil
            } catch { return error.code }
        }
        #expect(code(nil) == nil && code("fd12:3456:789a:1::/64") == nil)
        for bad in ["fd00::/48", "fd00::/65", "fc00::/64", "2001:db8::/64", "fe80::/64", "10.0.0.0/24"] {
            #expect(code(bad) == .invalid, "\(bad)")
        }
        #expect(
            code(nil, 576) == nil && code(nil, 9000) == nil && code(nil, 575) == .invalid && code(nil, 9001) == .invalid
        )
        #expect(code("fd00::/64", 1280) == nil && code("fd00::/64", 1279) == .invalid)
        #expect(NetworkSpec(block: block, block6: AddressBlock("fd00::/64")).gateway6?.description == "fd00::1")
        #expect(NetworkSpec(block: block).gateway.description == "10.83.0.1")
    }

    @Test("requests and changes are stored as they are; a change touches what it names")
    func requests() throws {
        let request = NetworkRequest(name: "web", block: AddressBlock("10.1.0.0/16"), block6: .auto, egress: .closed)
        #expect(try decode(NetworkRequest.self, encode(request)) == request)
        for text in ["none", "auto", "fd00::/64"] { #expect(IPv6Choice(text)?.description == text) }
        #expect(IPv6Choice("some") == nil)
        var spec = NetworkSpec(block: try #require(AddressBlock("10.1.0.0/16")))
        var change = NetworkChange()
        #expect(change.isEmpty)
        change.isolated = false
        change.mtu = 1400
        change.apply(to: &spec)
        #expect(!spec.isolated && spec.mtu == 1400 && spec.egress == .open && !spec.reachesHost && !change.isEmpty)
    }
}
