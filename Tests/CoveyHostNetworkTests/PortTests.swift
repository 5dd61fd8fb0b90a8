import CoveyModel
import CoveyNetwork
import CoveySystem
import Glibc
import Testing

@testable import CoveyHostNetwork

@Suite struct PortTests {
    /// Demands that a port answers, and under which address it saw the question; nil is any.
    private func expectAnswer(
        _ wanted: String?, _ namespace: NetworkNamespace, _ address: String, _ port: UInt16,
        _ transport: TransportProtocol
    ) async throws {
        let answer = try await Client.connect(from: namespace, address, port, transport).ask("x")
        if let wanted { #expect(answer == wanted) } else { #expect(answer.hasSuffix(" x")) }
    }

    private func isFree(_ host: Host, _ port: PublishedPort) async throws -> Bool {
        try await host.namespace.run { try PortHolds.isFree(PortHolds.Place(port)) }
    }

    @Test("A port is reached from the host's loopback, by many at once, TCP and UDP, and from nowhere else")
    func loopback() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2, ports: ["8080:80", "8080:80/udp"])
            try await host.carry([network], [interface])
            let machine = try await Machine(interface, network, on: host)
            try await withServer(in: machine.namespace, 80) { server in
                try await withThrowingTaskGroup(of: String.self) { group in
                    for number in 0..<20 {
                        group.addTask {
                            let client = try await Client.connect(from: host.namespace, "127.0.0.1", 8080)
                            return try await client.ask("\(number)")
                        }
                    }
                    var answers: Set<String> = []
                    for try await answer in group { answers.insert(answer) }
                    #expect(answers == Set((0..<20).map { "10.1.0.1 \($0)" }))
                }
                let udp = try await Client.connect(from: host.namespace, "127.0.0.1", 8080, .udp)
                #expect(try await udp.ask("u") == "10.1.0.1 u")
                // The holding socket refuses or ignores what was not led to the machine.
                await #expect(throws: SystemError.self) {
                    _ = try await Client.connect(from: host.namespace, Host.inside, 8080)
                }
                await #expect(throws: SystemError.self) {
                    _ = try await Client.connect(from: host.world, Host.inside, 8080)
                }
                #expect(server.texts == ["u"])
            }
        }
    }

    @Test("A port with an address is reached there, from outside and from the host; one of all addresses everywhere")
    func bound() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(
                2, ports: ["192.0.2.1:8080:80", "0.0.0.0:8081:80", "[::]:8081:80", "[2001:db8::1]:8080:80/udp"])
            try await host.carry([network], [interface])
            let machine = try await Machine(interface, network, on: host)
            try await withServer(in: machine.namespace, 80) { _ in
                try await withServer(in: machine.namespace, 80, on: "::") { _ in
                    try await expectAnswer("192.0.2.2 x", host.world, Host.inside, 8080, .tcp)
                    try await expectAnswer(nil, host.namespace, Host.inside, 8080, .tcp)
                    try await expectAnswer("192.0.2.2 x", host.world, Host.inside, 8081, .tcp)
                    try await expectAnswer("10.1.0.1 x", host.namespace, "127.0.0.1", 8081, .tcp)
                    try await expectAnswer(nil, host.namespace, Host.inside, 8081, .tcp)
                    try await expectAnswer("2001:db8::2 x", host.world, Host.inside6, 8081, .tcp)
                    try await expectAnswer("2001:db8::2 x", host.world, Host.inside6, 8080, .udp)
                }
            }
        }
    }

    @Test("A port goes on without its daemon, is taken over by the next, and is free when the machine has gone")
    func withoutDaemon() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2, ports: ["8080:80"])
            let state = NetworkState(networks: [network], interfaces: [interface])
            let machine: Machine
            do {
                let first = host.restarted()
                #expect(try await first.apply(state).isEmpty)
                let tap = await first.tap(interface.key)
                machine = try await Machine(interface, network, on: host, tap: tap)
                await first.settle()
            }
            // The daemon has ended, and its sockets with it.
            try await eventually("the port is not held any more") {
                try await isFree(host, interface.ports[0])
            }
            try await withServer(in: machine.namespace, 80) { _ in
                let client = try await Client.connect(from: host.namespace, "127.0.0.1", 8080)
                #expect(try await client.ask("1") == "10.1.0.1 1")
                try await host.carry([network], [interface])
                #expect(try await client.ask("2") == "10.1.0.1 2")
                #expect(try await isFree(host, interface.ports[0]) == false)
                try await host.carry([network])
                #expect(try await isFree(host, interface.ports[0]))
                await #expect(throws: SystemError.self) {
                    _ = try await Client.connect(from: host.namespace, "127.0.0.1", 8080)
                }
            }
        }
    }

    @Test("Who holds a port is named, and the port of a machine is not led while another program has it")
    func conflict() async throws {
        try await Host.with { host in
            let network = try host.makeNetwork(1)
            let interface = try network.makeInterface(2, ports: ["8080:80", "8081:80", "8082:80/udp"])
            let state = NetworkState(networks: [network], interfaces: [interface])
            #expect(try await host.network.holders(interface.ports).isEmpty)
            try await withServer(in: host.namespace, 8080) { _ in
                let holders = try await host.network.holders(interface.ports)
                #expect(holders.map(\.port.hostPort) == [8080])
                #expect(holders.first?.pid == getpid())
                #expect(holders.first?.program?.isEmpty == false)
                let problems = try await host.network.apply(state)
                #expect(problems.map(\.key) == [interface.key])
                #expect(problems.first?.error.code == .conflict)
                #expect(problems.first?.error.message.contains("pid \(getpid())") == true)
                // Loopback leads to who had it.
                let client = try await Client.connect(from: host.namespace, "127.0.0.1", 8080)
                #expect(try await client.ask("x") == "127.0.0.1 x")
            }
            try await eventually("the port is led once it is free") { try await host.network.apply(state).isEmpty }
            #expect(
                try await host.network.holders(interface.ports).map(\.program)
                    == Array(repeating: "vm net1-vm2", count: 3))
            await #expect(throws: SystemError.self) { _ = try await Server(in: host.namespace, 8081) }
        }
    }

    @Test("An address that the host has not, and two machines with one port, are told by interface") func wrong()
        async throws
    {
        try await Host.with { host in
            let network = try host.makeNetwork(1, version6: false)
            let interfaces = [
                try network.makeInterface(2, ports: ["192.0.2.77:80:80", "8080:80"]),
                try network.makeInterface(3, ports: ["8080:80"]), try network.makeInterface(4, ports: ["[::]:80:80"]),
            ]
            let problems = try await host.network.apply(NetworkState(networks: [network], interfaces: interfaces))
            #expect(problems.map(\.key) == interfaces.map(\.key))
            #expect(problems.map(\.error.code) == [.invalid, .conflict, .unsupported])
        }
    }

    @Test("A machine reaches its own network's port by the host's address, not another network's") func hairpin()
        async throws
    {
        try await Host.with { host in
            let (network, other) = (try host.makeNetwork(1), try host.makeNetwork(2))
            let interfaces = [
                try network.makeInterface(2, ports: ["192.0.2.1:8080:80"]), try network.makeInterface(3),
                try other.makeInterface(2),
            ]
            try await host.carry([network, other], interfaces)
            let server = try await Machine(interfaces[0], network, on: host)
            let neighbour = try await Machine(interfaces[1], network, on: host)
            let stranger = try await Machine(interfaces[2], other, on: host)
            try await withServer(in: server.namespace, 80) { _ in
                let client = try await Client.connect(from: neighbour.namespace, Host.inside, 8080)
                #expect(try await client.ask("x") == "10.1.0.1 x")
                await #expect(throws: SystemError("connect", "192.0.2.1 port 8080", errno: EHOSTUNREACH)) {
                    _ = try await Client.connect(from: stranger.namespace, Host.inside, 8080)
                }
            }
        }
    }

    @Test("A machine cannot speak to the host's loopback, where ports are published too") func loopbackIsTheHosts()
        async throws
    {
        try await Host.with { host in
            let network = try host.makeNetwork(1, reachesHost: true)
            let interface = try network.makeInterface(2, ports: ["8080:80"])
            try await host.carry([network], [interface])
            let machine = try await Machine(interface, network, on: host)
            try await withServer(in: host.namespace, 9000, on: "127.0.0.1") { server in
                for port: UInt16 in [9000, 8080] {
                    try machine.send(
                        frame: Frame.ethernet(
                            to: HostNames.mac(network.id), from: interface.mac, 0x0800,
                            Frame.udp4(from: interface.address, to: IPv4Address(bits: 0x7F00_0001), port: port)))
                }
                try await eventually("both are counted") {
                    try await host.network.figures()[interface.key]?.forgedPackets == 2
                }
                #expect(server.texts.isEmpty)
            }
        }
    }
}
