import CoveyAPI
import CoveyClient
import CoveyModel
import CoveyNetwork
import CoveyServer
import CoveyStore
import Synchronization
import Testing

extension TestServer {
    /// From now on the node can carry networks.
    fileprivate func carryNetworks(
        hasIPv6: Bool = false, routed: [String] = [], holders: [PortHolder] = []
    ) {
        gateway.state.withLock { state in
            state.networks = NetworkHostFacts(
                available: true, hasIPv6: hasIPv6, routed: routed.compactMap { AddressBlock($0) })
            state.holders = holders
        }
    }

    /// A server with an image and a kernel on a node that can carry networks.
    fileprivate static func withNetworks(
        hasIPv6: Bool = false, _ body: @escaping @Sendable (TestServer, CoveyClient) async throws -> Void
    ) async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            try await test.addImage()
            test.carryNetworks(hasIPv6: hasIPv6)
            try await test.call { client in try await body(test, client) }
        }
    }
}

private func machine(
    _ name: String, on networks: [String]? = nil, ports: [String] = []
) -> MachineRequest {
    var request = MachineRequest(image: "debian")
    request.name = name
    request.networks = networks.map { $0.compactMap { NetworkAttachment($0) } }
    request.ports = ports.flatMap { PublishedPort.list($0) ?? [] }
    return request
}

@Suite struct NetworkServiceTests {
    @Test("a network is made, found, listed, changed and removed; the same request makes one")
    func life() async throws {
        try await TestServer.withNetworks { _, client in
            let request = NetworkRequest(
                name: "web", labels: ["a": "b"], block: AddressBlock("10.90.0.0/24"), mtu: 1400, isolated: false,
                reachesHost: true, egress: try #require(EgressPolicy("*.debian.org:80")))
            let made = try await client.createNetwork(request, requestID: "r1")
            #expect(made.spec.block.description == "10.90.0.0/24" && made.spec.mtu == 1400 && !made.spec.isolated)
            #expect(made.spec.reachesHost && made.spec.egress.description == "*.debian.org:80")
            #expect(made.metadata.labels == ["a": "b"])
            #expect(try await client.createNetwork(request, requestID: "r1") == made)
            #expect((await failure { try await client.createNetwork(request) })?.code == .conflict)
            #expect(try await client.network("web") == made)
            #expect(try await client.listNetworks() == [made])
            var change = NetworkChange()
            change.egress = .closed
            change.isolated = true
            let changed = try await client.updateNetwork("web", change)
            #expect(changed.spec.egress == .closed && changed.spec.isolated && changed.spec.mtu == 1400)
            #expect((await failure { try await client.updateNetwork("web", NetworkChange()) })?.code == .invalid)
            try await client.deleteNetwork("web", requestID: "d")
            try await client.deleteNetwork("web", requestID: "d")
            #expect((await failure { try await client.deleteNetwork("web") })?.code == .notFound)
            let missing = await failure { try await client.network("web") }
            #expect(missing?.code == .notFound && missing?.remedy?.contains("covey network create web") == true)
        }
    }

    @Test("what no network can be is refused, with what would do")
    func bad() async throws {
        try await TestServer.withNetworks { test, client in
            func code(_ block: String, six: IPv6Choice = .none, mtu: Int? = nil, name: String = "web") async
                -> CoveyError?
            {
                await failure {
                    try await client.createNetwork(
                        NetworkRequest(name: name, block: AddressBlock(block), block6: six, mtu: mtu))
                }
            }
            for error in [
                await code("10.0.0.0/8"), await code("10.0.0.0/31"), await code("127.0.0.0/24"),
                await code("fd00::/64"),
                await code("10.0.0.0/24", mtu: 100), await code("10.0.0.0/24", name: "Bad_"),
                await code("10.0.0.0/24", name: "none"),
            ] { #expect(error?.code == .invalid && error?.remedy != nil, "\(error?.message ?? "")") }
            #expect(await code("10.0.0.0/24", six: .auto)?.code == .unsupported)
            test.carryNetworks(hasIPv6: true, routed: ["10.0.0.0/16"])
            let routed = await code("10.0.0.0/24", six: .auto)
            #expect(routed?.code == .conflict && routed?.message.contains("10.0.0.0/16") == true)
            #expect(await code("10.1.0.0/24", six: .auto) == nil)
        }
    }

    @Test("without the means a network is refused with the reason, and a machine without --network has none")
    func unavailable() async throws {
        try await TestServer.with { test in
            try await test.addKernel()
            try await test.addImage()
            try await test.call { client in
                let made = try await client.createMachine(machine("plain")).subject
                #expect(made.spec.networks.isEmpty && made.status.addresses.isEmpty)
                for request in [machine("a", on: ["default"]), machine("b", ports: ["80:80"])] {
                    let error = await failure { try await client.createMachine(request) }
                    #expect(error?.code == .unsupported && error?.message.contains("nft is not installed") == true)
                    #expect(error?.remedy?.contains("--network none") == true)
                }
                let network = await failure { try await client.createNetwork(NetworkRequest(name: "web")) }
                #expect(network?.code == .unsupported)
                let networks = try await client.listNetworks()
                #expect(networks.isEmpty)
            }
        }
    }

    @Test("a machine without --network is on its tenant's default network, which its first one makes")
    func defaults() async throws {
        try await TestServer.withNetworks(hasIPv6: true) { test, client in
            let made = try await client.createMachine(machine("web", ports: ["8080:80"]), requestID: "r").subject
            let attachment = try #require(made.spec.networks.first)
            #expect(attachment.network == "default" && attachment.address != nil && attachment.address6 != nil)
            #expect(made.status.addresses.count == 2 && made.status.ports == ["8080:80"])
            let again = try await client.createMachine(machine("web", ports: ["8080:80"]), requestID: "r").subject
            #expect(again.metadata.id == made.metadata.id && again.spec.networks == made.spec.networks)
            #expect(try await client.network("default").metadata.id == attachment.networkID)
            #expect(try await client.createMachine(machine("none", on: [])).subject.spec.networks.isEmpty)
            #expect(
                try await client.createMachine(machine("by-name", on: ["default"])).subject.spec.networks.count == 1)
            let used = await failure { try await client.deleteNetwork("default") }
            #expect(used?.code == .conflict && used?.message.contains("vm web") == true)
            let taken = await failure { try await client.createMachine(machine("two", ports: ["0.0.0.0:8080:80"])) }
            #expect(taken?.code == .conflict && taken?.message.contains("is published by vm web") == true)
        }
    }

    @Test("networks, addresses, ports, policy and limits that cannot be are refused before anything is made")
    func combinations() async throws {
        try await TestServer.withNetworks { test, client in
            _ = try await client.createNetwork(NetworkRequest(name: "web", block: AddressBlock("10.90.0.0/24")))
            let id = try await client.network("web").metadata.id.description
            func code(_ networks: [String]?, ports: [String] = [], _ change: (inout MachineRequest) -> Void = { _ in })
                async -> ErrorCode?
            {
                var request = machine("web", on: networks, ports: ports)
                change(&request)
                let wanted = request
                return await failure { try await client.createMachine(wanted) }?.code
            }
            #expect(await code(["nobody"]) == .notFound)
            #expect(await code(["web", "web"]) == .invalid)
            #expect(await code(["web", id]) == .invalid)
            #expect(await code(["a", "b", "c", "d", "e"]) == .invalid)
            #expect(await code([], ports: ["80:80"]) == .invalid)
            #expect(await code(["web"], ports: ["80:80", "0.0.0.0:80:81"]) == .invalid)
            #expect(await code(["web"], ports: ["1-40:1-40"]) == .invalid)
            #expect(await code(["web:ip=10.91.0.5"]) == .invalid)
            #expect(await code(["web"]) { $0.networkLimit = TrafficLimit(bytesPerSecond: -1) } == .invalid)
            #expect(await code(["web"]) { $0.diskLimit = TrafficLimit() } == .invalid)
            #expect(
                await code(["web"]) { $0.egress = .only((0..<65).compactMap { EgressRule("h\($0).x") }) } == .invalid)
            let machines = try await client.listMachines()
            #expect(machines.isEmpty)
            #expect(await code(["web:ip=10.90.0.9"]) == nil)
            #expect(await code(["web:ip=10.90.0.9"]) { $0.name = "two" } == .conflict)
        }
    }

    @Test("a port that a program of the host has is a conflict that names it")
    func holders() async throws {
        try await TestServer.withNetworks { test, client in
            let port = try #require(PublishedPort("8080:80"))
            test.carryNetworks(holders: [PortHolder(port: port, pid: 77, program: "nginx")])
            let error = await failure { try await client.createMachine(machine("web", ports: ["8080:80"])) }
            #expect(error?.code == .conflict)
            #expect(error?.message == "port 8080/tcp on 127.0.0.1 is held by nginx (pid 77)")
            #expect(try await client.createMachine(machine("web", ports: ["8081:80"])).subject.spec.ports.count == 1)
            let listener = try #require(PublishedPort("8081:80"))
            test.carryNetworks(holders: [port, listener].map { PortHolder(port: $0, pid: 77, program: "nginx") })
            let ours = await failure { try await client.createMachine(machine("two", ports: ["8081:80"])) }
            #expect(ours?.message.hasSuffix("is published by vm web") == true, "\(ours?.message ?? "")")
            var change = MachineChange()
            change.publish = [port]
            let wish = change
            #expect((await failure { try await client.updateMachine("web", wish) })?.code == .conflict)
        }
    }

    @Test("policy, limits and ports change while a machine runs, its networks while it does not")
    func update() async throws {
        try await TestServer.withNetworks { test, client in
            let made = try await client.createMachine(machine("web", ports: ["8080:80"])).subject
            try await test.repositories.machines.updateStatus(made.metadata.id) { $0.phase = .running }
            var change = MachineChange()
            change.egress = .policy(.closed)
            change.publish = try #require(PublishedPort.list("9000-9001:90-91/udp"))
            change.unpublish = try #require(HostPort.list("8080"))
            change.networkLimit = TrafficLimit(bytesPerSecond: 1 << 20, operationsPerSecond: 5, burstBytes: 4096)
            change.diskLimit = TrafficLimit(operationsPerSecond: 100)
            let dry = try await client.updateMachine("web", change, dryRun: true)
            #expect(dry.spec.egress == .closed)
            #expect(try await client.machine("web").spec == made.spec)
            let changed = try await client.updateMachine("web", change, requestID: "u")
            #expect(changed.spec.ports.map(\.description) == ["9000:90/udp", "9001:91/udp"])
            #expect(changed.status.ports == ["9000:90/udp", "9001:91/udp"])
            #expect(changed.spec.networkLimit?.burstBytes == 4096 && changed.spec.diskLimit?.operationsPerSecond == 100)
            #expect(changed.metadata.generation == made.metadata.generation + 1)
            #expect(try await client.updateMachine("web", change, requestID: "u") == changed)
            let gone = await failure { try await client.updateMachine("web", change) }
            #expect(gone?.code == .notFound && gone?.remedy?.contains("9000:90/udp") == true)
            change = MachineChange()
            change.egress = .inherited
            change.networkLimit = TrafficLimit()
            let back = try await client.updateMachine("web", change)
            #expect(back.spec.egress == nil && back.spec.networkLimit == nil && back.spec.diskLimit != nil)
            change = MachineChange()
            change.networks = []
            #expect((await failure { try await client.updateMachine("web", change) })?.code == .invalid)
            change.unpublish = try #require(HostPort.list("9000-9001/udp"))
            let running = await failure { try await client.updateMachine("web", change) }
            #expect(running?.code == .conflict && running?.remedy?.contains("covey vm stop web") == true)
            try await test.repositories.machines.updateStatus(made.metadata.id) { $0.phase = .stopped }
            #expect(try await client.updateMachine("web", change).spec.networks.isEmpty)
            change = MachineChange()
            change.networks = [NetworkAttachment(network: "default")]
            #expect(try await client.updateMachine("web", change).status.addresses.count == 1)
            #expect((await failure { try await client.updateMachine("web", MachineChange()) })?.code == .invalid)
        }
    }

    @Test("what listens in a machine and what it has used comes from its node")
    func figures() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            try await test.addMachine("idle", phase: .stopped)
            let listening = [
                ListeningPort(transport: .udp, address: .v4(IPv4Address(bits: 0)), port: 53),
                ListeningPort(
                    transport: .tcp, address: .v6(IPv6Address(high: 0, low: 0)), port: 22, program: "sshd", pid: 5),
            ]
            var figures = MachineFigures(at: Timestamp(milliseconds: 1_700_000_000_000))
            figures.cpuNanoseconds = .max
            figures.deniedPackets = 3
            figures.guestMemoryUsed = 5
            let seen = figures
            test.gateway.state.withLock { state in
                state.listening = listening
                state.figures = [seen]
            }
            try await test.call { client in
                #expect(try await client.listeningPorts("web") == listening.sorted())
                let uses = try await client.figures()
                #expect(uses.map(\.name) == ["web"] && uses.map(\.figures) == [seen])
                test.gateway.state.withLock { $0.figures = [] }
                let failed = try await client.figures(["idle"])
                #expect(failed.map(\.error?.code) == [.conflict] && failed[0].figures == nil)
                #expect((await failure { try await client.figures(["nobody"]) })?.code == .notFound)
            }
        }
    }
}
