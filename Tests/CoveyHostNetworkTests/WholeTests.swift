import CoveyModel
import CoveyNetwork
import CoveySystem
import Glibc
import Synchronization
import Testing

@testable import CoveyHostNetwork

@Suite struct WholeTests {
    /// Everything of a namespace that networks could leave something in.
    private func everything(_ host: Host) async throws -> [String] {
        var all: [String] = []
        for arguments in [
            ["-d", "-o", "link"], ["-o", "address"], ["route", "show", "table", "all"],
            ["-6", "route", "show", "table", "all"], ["rule"], ["neighbour", "show", "nud", "permanent"],
        ] {
            all += try await host.output("ip", arguments).split(separator: "\n").map(String.init)
        }
        all += try await host.output("tc", ["qdisc"]).split(separator: "\n").map(String.init)
        all += try await host.output("nft", ["list", "ruleset"]).split(separator: "\n").map(String.init)
        all += try await host.namespace.run { try WholeTests.settings("/proc/sys/net") }
        // What counts time and connections is no setting.
        return all.map { line in
            line.replacing(/(hello|tcn|topology_change|gc)_timer +[0-9.]+/, with: "").replacing(
                /valid_lft \d+sec/, with: "")
        }.filter { !$0.contains("nf_conntrack_count") }
    }

    private static func settings(_ folder: String) throws -> [String] {
        try listFolder(folder).flatMap { name -> [String] in
            let path = "\(folder)/\(name)"
            if try FileFacts(path).kind == .folder { return try settings(path) }
            return ["\(path) \((try? readText(path)) ?? "unreadable")"]
        }
    }

    @Test("After uninstall the host is byte for byte as before", arguments: ["0", "1"]) func uninstall(
        forwarding: String
    ) async throws {
        try await Host.with(sparePool: 2) { host in
            try await host.namespace.run {
                try HostSetting("net/ipv4/conf/up0/accept_redirects").set("0")
                try HostSetting("net/ipv4/ip_forward").set(forwarding)
                try HostSetting("net/ipv6/conf/all/forwarding").set(forwarding)
                try HostSetting("net/ipv4/conf/up0/forwarding").set("1")
                try HostSetting("net/ipv4/conf/all/accept_redirects").set("0")
                try HostSetting("net/ipv6/conf/up0/accept_ra").set("1")
            }
            // The first use of nft in a namespace may show settings of its own.
            _ = try await host.output("nft", ["list", "ruleset"])
            _ = try await host.output("ip", ["link", "add", "foreign0", "type", "bridge"])
            let before = try await everything(host)
            let network = try host.makeNetwork(1)
            let other = try host.makeNetwork(2, isolated: false, reachesHost: true)
            let limit = TrafficLimit(bytesPerSecond: 1 << 20)
            let interfaces = [
                try network.makeInterface(2, ports: ["8080:80"], sends: limit, receives: limit),
                try other.makeInterface(2, egress: EgressPolicy("example.com")),
            ]
            try await host.carry([network, other], interfaces)
            let machine = try await Machine(interfaces[0], network, on: host)
            try await withServer(in: host.world, 80) { _ in
                _ = try await Client.connect(from: machine.namespace, Host.outside, 80)
            }
            #expect(try await host.namespace.run { HostSetting("net/ipv4/ip_forward").value } == "1")
            #expect(try await everything(host) != before)
            // By another daemon: what is to be put back is in the file.
            await host.network.settle()
            try await host.restarted().uninstall()
            let after = try await everything(host)
            #expect(Set(after).symmetricDifference(before).isEmpty)
            #expect(after == before)
            #expect(try listFolder(host.folder).isEmpty)
            try await host.restarted().uninstall()
            #expect(try await everything(host) == before)
        }
    }

    @Test("Forwarding IPv6 does not cost the host the routes that its routers tell it") func routersAreHeard()
        async throws
    {
        try await Host.with { host in
            try await host.namespace.run { try HostSetting("net/ipv6/conf/up0/accept_ra").set("1") }
            try await host.carry([try host.makeNetwork(1)])
            let values = try await host.namespace.run {
                (HostSetting("net/ipv6/conf/up0/accept_ra").value, HostSetting("net/ipv6/conf/all/forwarding").value)
            }
            #expect(values == ("2", "1"))
        }
    }

    @Test("A record of settings that cannot be read is set aside and told, and networks are carried")
    func damagedRecord() async throws {
        try await Host.with { host in
            let path = "\(host.folder)/network-settings.json"
            try writeFileAtomically(path, Array("{ nothing".utf8))
            try await host.carry([try host.makeNetwork(1)])
            #expect(await host.network.facts().problems.contains { $0.contains("\(path).aside-1") })
            #expect(fileExists("\(path).aside-1") && fileExists(path))
        }
    }

    @Test("Where the host has no IPv6, a network with a block of it is carried without") func withoutIPv6() async throws
    {
        try await Host.with { host in
            try await host.namespace.run {
                try HostSetting("net/ipv6/conf/all/disable_ipv6").set("1")
                try HostSetting("net/ipv6/conf/default/disable_ipv6").set("1")
            }
            #expect(await host.network.facts().hasIPv6 == false)
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2)
            try await host.carry([network], [interface])
            let machine = try await Machine(interface, network, on: host)
            try await withServer(in: host.world, 80) { _ in
                let client = try await Client.connect(from: machine.namespace, Host.outside, 80)
                #expect(try await client.ask("x") == "192.0.2.1 x")
            }
            #expect(try await host.output("ip", ["-6", "-o", "address"]).isEmpty)
            #expect(try await host.namespace.run { HostSetting("net/ipv6/conf/all/forwarding").value } == "0")
        }
    }

    @Test("Two hundred interfaces come and go and leave nothing") func manyInterfaces() async throws {
        try await Host.with(sparePool: 4) { host in
            let networks = try (1...4).map { try host.makeNetwork($0) }
            let interfaces = try networks.flatMap { network in
                try (2...51).map { number in
                    try network.makeInterface(
                        number, egress: EgressPolicy("10.0.0.\(number)/32,name\(number).example:443"),
                        ports: network.name == "net1" ? ["\(9000 + Int(number)):80"] : [])
                }
            }
            let descriptors = try listFolder("/proc/self/fd").count
            let links = try await host.links().map(\.name)
            try await host.carry(networks, interfaces)
            #expect(Set(await taps(host, interfaces)).count == 200)
            try await host.carry(networks, interfaces)
            try await host.carry(networks, Array(interfaces.dropFirst(100)))
            try await host.carry([])
            await host.network.settle()
            #expect(try await host.links().map(\.name) == links)
            #expect(try await host.output("nft", ["list", "tables"]).isEmpty)
            #expect(try listFolder("/proc/self/fd").count <= descriptors + 8)
        }
    }

    private func taps(_ host: Host, _ interfaces: [HostedInterface]) async -> [String] {
        var all: [String] = []
        for interface in interfaces { if let tap = await host.network.tap(interface.key) { all.append(tap) } }
        return all
    }

    @Test("Fifty calls at once are taken together, and the last state is the one that is carried") func manyCalls()
        async throws
    {
        try await Host.with(sparePool: 2) { host in
            let network = try host.makeNetwork(1)
            let interfaces = try (2...51).map { try network.makeInterface($0) }
            try await withThrowingTaskGroup(of: [NetworkProblem].self) { group in
                for count in 1...50 {
                    group.addTask {
                        try await host.network.apply(
                            NetworkState(networks: [network], interfaces: Array(interfaces.prefix(count))))
                    }
                }
                for try await problems in group { #expect(problems.isEmpty) }
            }
            try await host.carry([network], interfaces)
            #expect(Set(await taps(host, interfaces)).count == 50)
            let links = try await host.links()
            #expect(links.filter { host.names.interface($0) != nil }.count == 50)
        }
    }

    private static let steps = 0..<24

    /// Carries a state until a step, after which nothing is done any more. Returns whether it came to its end.
    private func comes(toEndBefore last: Int, _ host: Host, _ state: NetworkState) async throws -> Bool {
        let counter = StepCounter(last)
        let carrier = HostCarrier(host.names, folder: host.folder, spare: 0) { () throws(SystemError) in
            try counter.next()
        }
        return try await host.namespace.run {
            do {
                return try carrier.apply(state).problems.isEmpty && !counter.isOver
            } catch {
                guard counter.isOver else { throw error }
                return false
            }
        }
    }

    private final class StepCounter: Sendable {
        private let count = Atomic(0)
        private let last: Int

        init(_ last: Int) { self.last = last }

        var isOver: Bool { count.load(ordering: .sequentiallyConsistent) > last }

        func next() throws(SystemError) {
            if count.add(1, ordering: .sequentiallyConsistent).newValue > last {
                throw SystemError("killed", errno: ECANCELED)
            }
        }
    }

    @Test("What a daemon left when it was killed at any step is mended by the next", arguments: steps) func killed(
        step: Int
    ) async throws {
        try await Host.with { host in
            let networks = [try host.makeNetwork(1), try host.makeNetwork(2)]
            let interfaces = [try networks[0].makeInterface(2, ports: ["8080:80"]), try networks[1].makeInterface(2)]
            let state = NetworkState(networks: networks, interfaces: interfaces)
            let ended = try await comes(toEndBefore: step, host, state)
            // The last of these tries comes to the end: there are no more steps than this test takes.
            if step == Self.steps.upperBound - 1 { #expect(ended) }
            if step == 0 { #expect(!ended) }
            // The killed one's sockets end with it.
            try await eventually("the port is free") {
                try await host.namespace.run { try PortHolds.isFree(PortHolds.Place(interfaces[0].ports[0])) }
            }
            try await host.carry(networks, interfaces)
            let machine = try await Machine(interfaces[1], networks[1], on: host)
            try await withServer(in: host.world, 80) { _ in
                let client = try await Client.connect(from: machine.namespace, Host.outside, 80)
                #expect(try await client.ask("x") == "192.0.2.1 x")
            }
            let names = try await host.links().map(\.name)
            #expect(names.filter { $0.hasPrefix(host.names.bridgePrefix) }.count == 2)
            #expect(names.filter { $0.hasPrefix(host.names.tapPrefix) }.count == 2)
            try await host.network.uninstall()
            #expect(try await host.links().map(\.name).sorted() == ["lo", "up0"])
            #expect(try await host.output("nft", ["list", "tables"]).isEmpty)
        }
    }
}
