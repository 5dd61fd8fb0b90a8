import CoveyModel
import CoveyNetwork
import CoveySystem
import Glibc
import Testing

@testable import CoveyHostNetwork

@Suite struct FirewallTests {
    /// The errno of a try to connect; nil where it worked.
    private func failure(
        from namespace: NetworkNamespace, _ address: String, _ port: UInt16
    ) async -> Int32? {
        do {
            _ = try await Client.connect(from: namespace, address, port)
            return nil
        } catch let error as SystemError {
            return error.errno
        } catch {
            return -1
        }
    }

    @Test("A machine reaches out under the host's address, by both versions, TCP and UDP") func outbound() async throws
    {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2)
            try await host.carry([network], [interface])
            let machine = try await Machine(interface, network, on: host)
            try await withServer(in: host.world, 80) { _ in
                let tcp = try await Client.connect(from: machine.namespace, Host.outside, 80)
                #expect(try await tcp.ask("hello") == "192.0.2.1 hello")
                let udp = try await Client.connect(from: machine.namespace, Host.outside, 80, .udp)
                #expect(try await udp.ask("hello") == "192.0.2.1 hello")
            }
            try await withServer(in: host.world, 80, on: "::") { _ in
                let tcp = try await Client.connect(from: machine.namespace, Host.outside6, 80)
                #expect(try await tcp.ask("hello") == "2001:db8::1 hello")
            }
            let figures = try #require(try await host.network.figures()[interface.key])
            #expect(figures.sentPackets > 5 && figures.receivedPackets > 5)
            #expect(figures.deniedPackets == 0 && figures.forgedPackets == 0, "\(figures)")
        }
    }

    @Test("Machines of one network reach each other; the host reaches them") func together() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1, egress: .closed)
            let interfaces = [try network.makeInterface(2), try network.makeInterface(3)]
            try await host.carry([network], interfaces)
            let first = try await Machine(interfaces[0], network, on: host)
            let second = try await Machine(interfaces[1], network, on: host)
            try await withServer(in: second.namespace, 80) { _ in
                let client = try await Client.connect(from: first.namespace, "10.1.0.3", 80)
                #expect(try await client.ask("hi") == "10.1.0.2 hi")
                let own = try await Client.connect(from: host.namespace, "10.1.0.3", 80)
                #expect(try await own.ask("hi") == "10.1.0.1 hi")
            }
            try await withServer(in: second.namespace, 80, on: "::") { _ in
                let client = try await Client.connect(from: first.namespace, "fd00:1::3", 80)
                #expect(try await client.ask("hi") == "fd00:1::2 hi")
            }
        }
    }

    @Test(
        "Isolated networks do not reach each other, nor each other's gateways; shared ones do",
        arguments: [true, false])
    func isolation(isolated: Bool) async throws {
        try await Host.with { host in
            let (network, other) = (
                try host.makeNetwork(1, isolated: isolated), try host.makeNetwork(2, isolated: false)
            )
            let interfaces = [try network.makeInterface(2), try other.makeInterface(2)]
            try await host.carry([network, other], interfaces)
            let first = try await Machine(interfaces[0], network, on: host)
            let second = try await Machine(interfaces[1], other, on: host)
            try await withServer(in: second.namespace, 80) { _ in
                try await withServer(in: first.namespace, 80) { _ in
                    let wanted: Int32? = isolated ? EHOSTUNREACH : nil
                    #expect(await failure(from: first.namespace, "10.2.0.2", 80) == wanted)
                    #expect(await failure(from: second.namespace, "10.1.0.2", 80) == wanted)
                }
            }
            try await withServer(in: host.namespace, 53) { _ in
                #expect(await failure(from: first.namespace, "10.2.0.1", 53) == EHOSTUNREACH)
                #expect(await failure(from: first.namespace, "10.1.0.1", 53) == nil)
            }
            let denied = try await host.network.figures()[interfaces[0].key]?.deniedPackets ?? 0
            #expect(denied >= (isolated ? 2 : 1))
        }
    }

    @Test(
        "Of the host a machine reaches the gateway's names and echo alone, or all where its network says so",
        arguments: [false, true])
    func towardsHost(reaches: Bool) async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1, reachesHost: reaches)
            let interface = try network.makeInterface(2)
            try await host.carry([network], [interface])
            let machine = try await Machine(interface, network, on: host)
            try await withServer(in: host.namespace, 53) { _ in
                let names = try await Client.connect(from: machine.namespace, "10.1.0.1", 53, .udp)
                #expect(try await names.ask("q") == "10.1.0.2 q")
                #expect(await failure(from: machine.namespace, "10.1.0.1", 53) == nil)
            }
            let wanted: Int32? = reaches ? nil : EHOSTUNREACH
            try await withServer(in: host.namespace, 8080) { _ in
                #expect(await failure(from: machine.namespace, "10.1.0.1", 8080) == wanted)
                #expect(await failure(from: machine.namespace, Host.inside, 8080) == wanted)
                // Loopback is no machine's, whatever the policy and wherever the frame says it goes.
                let frame = Frame.ethernet(
                    to: HostNames.mac(network.id), from: interface.mac, 0x0800,
                    Frame.udp4(from: interface.address, to: IPv4Address(bits: 0x7F00_0001), port: 8080))
                try machine.send(frame: frame)
                try await eventually("the frame to loopback is counted as forged") {
                    try await host.network.figures()[interface.key]?.forgedPackets == 1
                }
            }
            let echo = try await machine.namespace.run {
                try HostProgram(name: "busybox", package: "busybox-static")
                    .run(["ping", "-c", "1", "-W", "3", "10.1.0.1"]).isSuccess
            }
            #expect(echo)
        }
    }

    @Test("Nobody outside reaches a machine that publishes nothing, even by a route to its address") func inward()
        async throws
    {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2)
            try await host.carry([network], [interface])
            let machine = try await Machine(interface, network, on: host)
            try await host.world.run {
                let output = try HostProgram(name: "ip", package: "iproute2")
                    .run(["route", "add", "10.1.0.0/24", "via", Host.inside])
                #expect(output.isSuccess)
            }
            try await withServer(in: machine.namespace, 80) { server in
                let client = try await Client.connect(from: host.world, "10.1.0.2", 80, .udp)
                await #expect(throws: SystemError.self) { try await client.ask("in") }
                #expect(server.texts.isEmpty)
            }
        }
    }

    @Test("Egress: closed reaches nothing, rules what they say, and what is denied is counted") func egress()
        async throws
    {
        try await Host.with { host in
            let network = try host.makeNetwork(1, egress: .closed)
            let rules = try #require(EgressPolicy("192.0.2.2:80/tcp,[2001:db8::/32]:81,192.0.2.0/24:90-95"))
            let interfaces = [
                try network.makeInterface(2), try network.makeInterface(3, egress: rules),
                try network.makeInterface(4, egress: .open),
            ]
            try await host.carry([network], interfaces)
            let closed = try await Machine(interfaces[0], network, on: host)
            let ruled = try await Machine(interfaces[1], network, on: host)
            let open = try await Machine(interfaces[2], network, on: host)
            try await withServer(in: host.world, 80) { _ in
                try await withServer(in: host.world, 92) { _ in
                    #expect(await failure(from: closed.namespace, Host.outside, 80) == EHOSTUNREACH)
                    #expect(await failure(from: ruled.namespace, Host.outside, 80) == nil)
                    #expect(await failure(from: ruled.namespace, Host.second, 80) == EHOSTUNREACH)
                    #expect(await failure(from: ruled.namespace, Host.second, 92) == nil)
                    #expect(await failure(from: ruled.namespace, Host.outside, 81) == EHOSTUNREACH)
                    #expect(await failure(from: open.namespace, Host.second, 80) == nil)
                }
            }
            try await withServer(in: host.world, 81, on: "::") { _ in
                #expect(await failure(from: ruled.namespace, Host.outside6, 81) == nil)
                #expect(await failure(from: closed.namespace, Host.outside6, 81) == EACCES)
            }
            let figures = try await host.network.figures()
            #expect(figures[interfaces[0].key]?.deniedPackets == 2)
            #expect(figures[interfaces[1].key]?.deniedPackets == 2)
            #expect(figures[interfaces[2].key]?.deniedPackets == 0)
        }
    }

    @Test("What a name's answer opens is open for its time, over replacements and a daemon's end, for its policy alone")
    func openings() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let policy = try #require(EgressPolicy("example.com:80/tcp,*.example.org"))
            let interface = try network.makeInterface(2, egress: policy)
            let neighbour = try network.makeInterface(3, egress: policy)
            try await host.carry([network], [interface, neighbour])
            let machine = try await Machine(interface, network, on: host)
            let beside = try await Machine(neighbour, network, on: host)
            let outside = try #require(IPAddress(Host.outside))
            try await withServer(in: host.world, 80) { _ in
                #expect(await failure(from: machine.namespace, Host.outside, 80) == EHOSTUNREACH)
                let opening = EgressOpening(
                    key: interface.key, addresses: [outside], ports: 80...80, transport: .tcp, duration: .seconds(5))
                try await host.network.open([opening])
                try await host.network.open([opening])
                #expect(await failure(from: machine.namespace, Host.outside, 80) == nil)
                #expect(await failure(from: machine.namespace, Host.second, 80) == EHOSTUNREACH)
                #expect(await failure(from: beside.namespace, Host.outside, 80) == EHOSTUNREACH)
                #expect(try await seconds(host) > 50)
                try await host.carry([network], [interface, neighbour])
                #expect(await failure(from: machine.namespace, Host.outside, 80) == nil)
                let next = host.restarted()
                _ = try await next.apply(NetworkState(networks: [network], interfaces: [interface, neighbour]))
                #expect(await failure(from: machine.namespace, Host.outside, 80) == nil)
                // Another policy with a rule of the same form does not keep what this one opened.
                let changed = interface.with(egress: EgressPolicy("example.net:80/tcp"))
                _ = try await next.apply(NetworkState(networks: [network], interfaces: [changed, neighbour]))
                #expect(await failure(from: machine.namespace, Host.outside, 80) == EHOSTUNREACH)
            }
        }
    }

    private func seconds(_ host: Host) async throws -> Int {
        let firewall = Firewall(host.names)
        return try await host.namespace.run { try firewall.contents().openings.map(\.seconds).max() ?? 0 }
    }

    @Test("A longer answer is not shortened by a later one, and an opening of no rule's form opens nothing")
    func openingTimes() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2, egress: EgressPolicy("example.com:80/tcp"))
            try await host.carry([network], [interface])
            let outside = try #require(IPAddress(Host.outside))
            for duration in [Duration.seconds(300), .seconds(60)] {
                try await host.network.open([
                    EgressOpening(
                        key: interface.key, addresses: [outside], ports: 80...80, transport: .tcp, duration: duration),
                    EgressOpening(key: interface.key, addresses: [outside], duration: .seconds(900)),
                ])
            }
            let seconds = try await seconds(host)
            #expect(seconds > 290 && seconds <= 300)
        }
    }

    @Test("Counters go on over replacements, and start anew with a new interface") func counters() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1, egress: .closed)
            let interface = try network.makeInterface(2)
            try await host.carry([network], [interface])
            let machine = try await Machine(interface, network, on: host)
            for _ in 0..<3 { #expect(await failure(from: machine.namespace, Host.outside, 80) == EHOSTUNREACH) }
            try await host.carry([network], [interface, try network.makeInterface(3)])
            #expect(try await host.network.figures()[interface.key]?.deniedPackets == 3)
            // As another version's table: made anew, with what was counted.
            _ = try await host.output("nft", ["delete", "chain", "inet", host.names.table, FirewallScript.version])
            try await host.carry([network], [interface])
            #expect(try await host.network.figures()[interface.key]?.deniedPackets == 3)
            try await host.carry([network])
            try await host.carry([network], [interface])
            #expect(try await host.network.figures()[interface.key]?.deniedPackets == 0)
        }
    }

    @Test("Rules that others made stay; ours are whole again after somebody flushed everything") func foreignRules()
        async throws
    {
        try await Host.with { host in
            let network = try host.makeNetwork(1, egress: .closed)
            let interface = try network.makeInterface(2)
            let foreign =
                "table inet foreign {\nchain forward { type filter hook forward priority 10; policy accept;\n"
                + "counter\n}\n}\n"
            _ = try await host.output("nft", ["-f", "-"], input: foreign)
            let before = try await host.output("nft", ["-s", "list", "table", "inet", "foreign"])
            try await host.carry([network], [interface])
            #expect(try await host.output("nft", ["-s", "list", "table", "inet", "foreign"]) == before)
            let own = try await host.output("nft", ["-s", "list", "table", "inet", host.names.table])
            _ = try await host.output("nft", ["flush", "ruleset"])
            try await host.carry([network], [interface])
            #expect(try await host.output("nft", ["-s", "list", "table", "inet", host.names.table]) == own)
        }
    }

    @Test("A thousand connections stand while the firewall is replaced, and those of a policy that was closed")
    func standing() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2)
            try await host.carry([network], [interface])
            let machine = try await Machine(interface, network, on: host)
            let state = NetworkState(networks: [network], interfaces: [interface])
            try await withServer(in: host.world, 80) { _ in
                var clients: [Client] = []
                for _ in 0..<1000 {
                    clients.append(try await Client.connect(from: machine.namespace, Host.outside, 80))
                }
                for round in 0..<5 {
                    async let applied = host.network.apply(state)
                    for client in clients { #expect(try await client.ask("\(round)") == "192.0.2.1 \(round)") }
                    #expect(try await applied.isEmpty)
                }
                _ = try await host.output(
                    "nft", ["delete", "chain", "inet", host.names.table, FirewallScript.version])
                try await host.carry([network], [interface.with(egress: .closed)])
                #expect(await failure(from: machine.namespace, Host.outside, 80) == EHOSTUNREACH)
                for client in clients { #expect(try await client.ask("on") == "192.0.2.1 on") }
            }
        }
    }

    @Test("The host does not begin to forward between links that had nothing to do with each other") func quiet()
        async throws
    {
        try await Host.with { host in
            let elsewhere = try await NetworkNamespace.make()
            try await host.namespace.run {
                var netlink = try NetlinkSocket()
                try netlink.perform(.newPair("lan0", "eth0", in: elsewhere.descriptor.raw), "lan0")
                try netlink.setUp("lan0", "198.51.100.1")
            }
            try await elsewhere.run {
                var netlink = try NetlinkSocket()
                try netlink.setUp("eth0", "198.51.100.2")
                try netlink.perform(.newRoute(by: "198.51.100.1"), "default route")
            }
            try await host.world.run {
                let output = try HostProgram(name: "ip", package: "iproute2")
                    .run(["route", "add", "198.51.100.0/24", "via", Host.inside])
                #expect(output.isSuccess)
            }
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2)
            try await host.carry([network], [interface])
            let machine = try await Machine(interface, network, on: host)
            try await withServer(in: host.world, 80) { server in
                let foreign = try await Client.connect(from: elsewhere, Host.outside, 80, .udp)
                await #expect(throws: SystemError.self) { try await foreign.ask("through") }
                #expect(server.texts.isEmpty)
                let own = try await Client.connect(from: machine.namespace, Host.outside, 80, .udp)
                #expect(try await own.ask("out") == "192.0.2.1 out")
            }
        }
    }
}
