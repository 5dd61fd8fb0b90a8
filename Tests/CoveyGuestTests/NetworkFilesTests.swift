import CoveyGuestProtocol
import CoveyModel
import CoveySystem
import Glibc
import Testing

@testable import CoveyGuest

@Suite("Files of a machine's network")
struct NetworkFilesTests {
    private static let address = IPAddress.v4(IPv4Address(bits: 0x0A01_0203))

    @Test("a machine knows loopback and itself: by its address where it has one, else by loopback")
    func hosts() {
        let loopback = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
        let multicast = "ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
        #expect(NetworkFiles.hosts("web", []) == loopback + multicast + "127.0.1.1 web\n")
        #expect(NetworkFiles.hosts(nil, []) == loopback + multicast)
        #expect(
            NetworkFiles.hosts("web", [GuestHost(Self.address, names: ["web.vm", "web"])])
                == loopback + multicast + "10.1.2.3 web.vm web\n")
    }

    @Test("what the image's hosts file says of others stays, what it says of itself does not")
    func kept() {
        let text = """
            127.0.0.1 localhost
            127.0.1.1 builder.example builder
            ::1\tlocalhost ip6-localhost
            ff02::1 ip6-allnodes
            192.0.2.7   registry.example  registry # ours
            192.0.2.8 web
            2001:db8::5 six
            nonsense
            # a comment
            300.1.1.1 x
            """
        #expect(
            NetworkFiles.kept(of: text, hostname: "web")
                == "192.0.2.7 registry.example registry\n2001:db8::5 six\n")
    }

    @Test("a resolver has at most three servers, and a search line only where there are domains")
    func resolver() {
        let servers = (1...4).map { IPAddress.v4(IPv4Address(bits: 0x0A00_0000 + $0)) }
        #expect(
            NetworkFiles.resolver(GuestNetwork(resolvers: servers, searchDomains: ["vm", "default.vm"]))
                == "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nsearch vm default.vm\n")
        #expect(
            NetworkFiles.resolver(GuestNetwork(resolvers: [.v6(IPv6Address(high: 0xFD00 << 48, low: 1))]))
                == "nameserver fd00::1\n")
    }

    @Test("an image's own network service is told what the agent has set, and asks nobody for more")
    func services() {
        let network = MessageTests.network
        #expect(
            NetworkServices.networkd(network.interfaces[0], place: 0, network) == """
                [Match]
                MACAddress=02:00:5e:10:00:01
                [Link]
                MTUBytes=1450
                [Network]
                DHCP=no
                IPv6AcceptRA=no
                DNS=10.1.2.1
                DNS=::1
                Domains=vm default.vm
                [Address]
                Address=10.1.2.3/24
                DuplicateAddressDetection=none
                [Address]
                Address=fd00:1::5/64
                DuplicateAddressDetection=none
                [Route]
                Gateway=10.1.2.1
                Metric=100
                [Route]
                Gateway=fd00:1::1
                Metric=100

                """)
        #expect(!NetworkServices.networkd(network.interfaces[1], place: 1, network).contains("DNS="))
        #expect(
            NetworkServices.networkManager(network)
                == "[keyfile]\nunmanaged-devices+=mac:02:00:5e:10:00:01;mac:00:00:00:00:00:02\n")
        #expect(NetworkServices.asksForAddresses("auto lo eth0\niface lo inet loopback\n  iface eth0 inet dhcp"))
        #expect(NetworkServices.asksForAddresses("iface\teth0  inet6 auto"))
        #expect(!NetworkServices.asksForAddresses("# iface eth0 inet dhcp\niface eth0 inet static\nauto eth0"))
    }

    private static func block(_ text: String) -> String {
        "-----BEGIN CERTIFICATE-----\n\(text)\n-----END CERTIFICATE-----\n"
    }

    @Test("a bundle gets each certificate once, loses those that are gone, and else keeps every byte")
    func bundle() {
        let (a, b, c) = (Self.block("AAAA"), Self.block("BBBB"), Self.block("CCCC"))
        #expect(TrustedCertificates.blocks(of: "x\r\n" + a.split(separator: "\n").joined(separator: "\r\n")) == [a])
        #expect(TrustedCertificates.blocks(of: "-----BEGIN CERTIFICATE-----\nAAAA\n") == [])
        #expect(TrustedCertificates.merged("# one\n\n" + a, removing: [], adding: [a]) == "# one\n\n" + a)
        #expect(TrustedCertificates.merged("# one\n" + a, removing: [], adding: [b, b]) == "# one\n" + a + b)
        #expect(TrustedCertificates.merged(a + b, removing: [b, c], adding: [c]) == a + c)
    }

    @Test("certificates come into the distribution's places and go with the next start that does not name them")
    func store() throws {
        let folder = "/tmp/cvy-guest-\(UInt32.random(in: .min ... .max))"
        try makeFolder("\(folder)/certs")
        defer { try? removeTree(folder) }
        let store = TrustedCertificates.Store(
            bundle: "\(folder)/certs/bundle", anchors: "\(folder)/anchors", suffix: ".crt")
        let (a, b, c) = (Self.block("AAAA"), Self.block("BBBB"), Self.block("CCCC"))
        try writeFileAtomically("\(folder)/certs/real", Array(a.utf8), mode: 0o644)
        #expect(symlink("real", store.bundle) == 0)

        try TrustedCertificates.settle(store, [])
        #expect(!fileExists(store.anchors))
        try TrustedCertificates.settle(store, [b, c])
        #expect(try readText(store.bundle) == a + b + c)
        #expect(try listFolder(store.anchors).count == 2)
        let before = try FileFacts("\(folder)/certs/real")
        try TrustedCertificates.settle(store, [b, c])
        #expect(try FileFacts("\(folder)/certs/real") == before, "what is as it should be is not written")
        #expect(try FileFacts(store.bundle).kind == .link)

        try writeFileAtomically("\(store.anchors)/mine.crt", Array(a.utf8))
        try TrustedCertificates.settle(store, [c])
        #expect(try readText(store.bundle) == a + c)
        try TrustedCertificates.settle(store, [])
        #expect(try readText(store.bundle) == a)
        #expect(try listFolder(store.anchors) == ["mine.crt"])
    }
}
