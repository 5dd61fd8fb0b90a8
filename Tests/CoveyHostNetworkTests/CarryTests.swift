import CoveyModel
import CoveyNetwork
import CoveySystem
import Glibc
import Testing

@testable import CoveyHostNetwork

@Suite struct CarryTests {
    @Test("A network has its bridge with gateways, address and size; an interface its tap on it, owned by its user")
    func links() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            var interface = try network.makeInterface(2)
            interface.owner = 4711
            try await host.carry([network], [interface])
            let links = try await host.links()
            let bridge = try #require(links.first { $0.name == host.names.bridge(network.id) })
            #expect(bridge.kind == "bridge" && bridge.isUp && bridge.mtu == 1450)
            #expect(bridge.mac == HostNames.mac(network.id))
            let tap = try #require(await host.network.tap(interface.key))
            let link = try #require(links.first { $0.name == tap })
            #expect(link.isTap && link.isUp && link.mtu == 1450 && link.master == bridge.index && link.owner == 4711)
            let addresses = try await host.output("ip", ["-o", "address", "show", "dev", bridge.name])
            #expect(addresses.contains("inet 10.1.0.1/24") && addresses.contains("inet6 fd00:1::1/64"))
            #expect(!addresses.contains("tentative"))
            #expect(try await host.output("ip", ["-o", "-6", "address", "show", "dev", tap]).isEmpty)
        }
    }

    /// What of the links does not depend on time.
    private func fixed(_ host: Host) async throws -> [String] {
        try await host.links().map { link in
            "\(link.index) \(link.name) \(link.mtu) \(link.mac?.description ?? "") \(link.master ?? 0) \(link.isUp)"
        }
    }

    @Test("A state that is carried already changes nothing") func idempotent() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2)
            try await host.carry([network], [interface])
            let links = try await fixed(host)
            let tap = await host.network.tap(interface.key)
            try await host.carry([network], [interface])
            #expect(try await fixed(host) == links)
            #expect(await host.network.tap(interface.key) == tap)
        }
    }

    @Test("A daemon after a kill takes over bridges and taps, held ones too") func takeOver() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interfaces = try (2...4).map { try network.makeInterface($0) }
            try await host.carry([network], interfaces)
            let machine = try await Machine(interfaces[0], network, on: host)
            let before = try await host.links().map { "\($0.index) \($0.name)" }
            let next = host.restarted()
            let problems = try await next.apply(NetworkState(networks: [network], interfaces: interfaces))
            #expect(problems.isEmpty)
            #expect(try await host.links().map { "\($0.index) \($0.name)" } == before)
            for interface in interfaces {
                let (old, new) = (await host.network.tap(interface.key), await next.tap(interface.key))
                #expect(old == new && new != nil)
            }
            withExtendedLifetime(machine) {}
        }
    }

    @Test("A tap that is held and that nobody names any more stays on its bridge behind the firewall; then all goes")
    func left() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let (lost, kept) = (try network.makeInterface(2), try network.makeInterface(3))
            try await host.carry([network], [lost, kept])
            let tap = try #require(await host.network.tap(lost.key))
            var machine: Machine? = try await Machine(lost, network, on: host)
            try await host.carry([network], [kept])
            #expect(try await host.links().contains { $0.name == tap && $0.master != nil })
            let next = host.restarted()
            #expect(try await next.apply(NetworkState()).isEmpty)
            let bridge = host.names.bridge(network.id)
            #expect(
                try await host.links().map(\.name).filter { $0 != "lo" && $0 != "up0" }.sorted()
                    == [bridge, tap].sorted())
            let tables = try await host.output("nft", ["list", "tables"])
            #expect(tables.contains("inet \(host.names.table)"), "closed to everything: \(tables)")
            withExtendedLifetime(machine) {}
            machine = nil
            try await eventually("both are gone") {
                _ = try await next.apply(NetworkState())
                return try await host.links().count == 2
            }
        }
    }

    @Test("Interfaces take taps of the pool, which is filled again, and emptied without networks") func pool()
        async throws
    {
        try await Host.with(sparePool: 3) { host in
            let network = try host.makeNetwork(1)
            try await host.carry([network])
            await host.network.settle()
            let free = Set(try await host.links().filter { $0.alias == host.names.freeAlias }.map(\.name))
            #expect(free.count == 3)
            let interface = try network.makeInterface(2)
            try await host.carry([network], [interface])
            #expect(free.contains(try #require(await host.network.tap(interface.key))))
            await host.network.settle()
            #expect(try await host.links().filter { $0.alias == host.names.freeAlias }.count == 3)
            try await host.carry([])
            await host.network.settle()
            #expect(try await host.links().map(\.name).sorted() == ["lo", "up0"])
        }
    }

    @Test("A spare tap can be opened by root alone, another tap by its user") func owners() async throws {
        try await Host.with(sparePool: 1) { host in
            let network = try host.makeNetwork(1)
            try await host.carry([network])
            await host.network.settle()
            let free = try await host.links().filter { $0.alias == host.names.freeAlias }
            #expect(free.map(\.owner) == [0])
            var interface = try network.makeInterface(2)
            interface.owner = 99
            try await host.carry([network], [interface])
            interface.owner = 100
            try await host.carry([network], [interface])
            let tap = await host.network.tap(interface.key)
            #expect(try await host.links().first { $0.name == tap }?.owner == 100)
        }
    }

    @Test("Bridges and taps that were renamed, set down or stripped by hand are mended") func mended() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2)
            try await host.carry([network], [interface])
            let (bridge, tap) = (host.names.bridge(network.id), try #require(await host.network.tap(interface.key)))
            for line in [
                "link set \(tap) down", "link set \(tap) nomaster", "link set \(tap) name other",
                "link set \(bridge) down",
                "address flush dev \(bridge)", "link set \(bridge) address 02:00:00:00:00:09",
                "link set \(bridge) mtu 900",
                "address add 10.9.9.9/24 dev \(bridge)", "link set \(bridge) name elsewhere",
            ] { _ = try await host.output("ip", line.split(separator: " ").map(String.init)) }
            try await host.carry([network], [interface])
            let links = try await host.links()
            let mended = try #require(links.first { $0.name == bridge })
            #expect(mended.isUp && mended.mtu == 1450 && mended.mac == HostNames.mac(network.id))
            let name = await host.network.tap(interface.key)
            let its = try #require(links.first { $0.name == name })
            #expect(its.isUp && its.master == mended.index && host.names.number(its.name) != nil)
            let addresses = try await host.output("ip", ["-o", "-4", "address", "show", "dev", bridge])
            #expect(addresses.contains("10.1.0.1/24") && !addresses.contains("10.9.9.9"))
        }
    }

    @Test("A bridge and a tap that were deleted are made again; a machine on that tap is told to restart")
    func deleted() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2)
            try await host.carry([network], [interface])
            let machine = try await Machine(interface, network, on: host)
            try await host.carry([network], [interface])
            let tap = try #require(await host.network.tap(interface.key))
            _ = try await host.output("ip", ["link", "delete", host.names.bridge(network.id)])
            _ = try await host.output("ip", ["link", "delete", tap])
            let problems = try await host.network.apply(NetworkState(networks: [network], interfaces: [interface]))
            #expect(problems.map(\.key) == [interface.key])
            #expect(problems.first?.error.remedy?.contains("restart") == true)
            withExtendedLifetime(machine) {}
            let again = try await Machine(interface, network, on: host)
            try await host.carry([network], [interface])
            withExtendedLifetime(again) {}
        }
    }

    @Test("A foreign link of a bridge's name is an error with a remedy, and is left alone; the rest is carried")
    func foreign() async throws {
        try await Host.with { host in
            let (network, other) = (try host.makeNetwork(1), try host.makeNetwork(2))
            let name = host.names.bridge(network.id)
            _ = try await host.output("ip", ["link", "add", name, "type", "bridge"])
            let before = try await host.output("ip", ["link", "show", name])
            let interfaces = [try network.makeInterface(2), try other.makeInterface(2)]
            let problems = try await host.network.apply(
                NetworkState(networks: [network, other], interfaces: interfaces))
            #expect(problems.map(\.network) == [network.id] && problems.first?.error.code == .conflict)
            #expect(problems.first?.error.remedy?.contains(name) == true)
            #expect(try await host.output("ip", ["link", "show", name]) == before)
            #expect(await host.network.tap(interfaces[0].key) == nil)
            #expect(await host.network.tap(interfaces[1].key) != nil)
            try await host.network.uninstall()
            #expect(try await host.output("ip", ["link", "show", name]) == before)
        }
    }

    @Test("A bridge whose maker was killed before it had its text is taken over") func halfMade() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let name = host.names.bridge(network.id)
            let mac = HostNames.mac(network.id)
            try await host.namespace.run {
                var netlink = try NetlinkSocket()
                try netlink.perform(.newBridge(name, mac: mac, mtu: 1500), name)
            }
            try await host.carry([network])
            #expect(try await host.links().first { $0.name == name }?.alias == host.names.alias(network.id))
        }
    }

    @Test("Networks whose blocks overlap and interfaces with one address are refused, each by itself") func conflicts()
        async throws
    {
        try await Host.with { host in
            let (network, other) = (try host.makeNetwork(1), try host.makeNetwork(1))
            let interfaces = [try network.makeInterface(2), try network.makeInterface(2), try network.makeInterface(3)]
            let problems = try await host.network.apply(
                NetworkState(networks: [network, other], interfaces: interfaces))
            #expect(problems.map(\.error.code) == [.conflict, .conflict])
            #expect(problems.map(\.network) == [other.id, network.id])
            #expect(problems.map(\.key) == [nil, interfaces[1].key])
            #expect(await host.network.tap(interfaces[2].key) != nil)
        }
    }

    @Test("Two instances on one host do not touch each other's") func instances() async throws {
        try await Host.with { host in
            let (network, other) = (try host.makeNetwork(1), try host.makeNetwork(2))
            try await host.carry([network], [try network.makeInterface(2)])
            let second = HostNetwork(
                instance: InstanceID(random: .random(in: .min ... .max)), folder: "\(host.folder)/second",
                sparePool: 0, namespace: host.namespace)
            let links = try await host.links().count
            let problems = try await second.apply(
                NetworkState(networks: [other], interfaces: [try other.makeInterface(2)]))
            #expect(problems.isEmpty)
            #expect(try await host.links().count == links + 2)
            try await second.uninstall()
            #expect(try await host.links().count == links)
            #expect(try await host.output("nft", ["list", "tables"]).contains(host.names.table))
        }
    }

    @Test("The host's blocks are told, without our own") func facts() async throws {
        try await Host.with { host in
            try await host.carry([try host.makeNetwork(1)])
            let facts = await host.network.facts()
            #expect(facts.available && facts.hasIPv6 && facts.problems.isEmpty, "\(facts.problems)")
            #expect(Set(facts.routed.map(\.description)) == ["192.0.2.0/24", "2001:db8::/64"])
            _ = try await host.output(
                "nft", ["-f", "-"],
                input: "table ip filter {\nchain FORWARD { type filter hook forward priority 0; policy drop;\n}\n}\n")
            #expect(await host.network.facts().problems.contains { $0.contains("ip filter FORWARD") })
        }
    }
}
