internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Testing

extension Fixture {
    var networks: Networks { repositories.networks }

    /// A network of a block.
    @discardableResult
    func network(_ name: String = "web", _ block: String = "10.90.0.0/24", six: IPv6Choice = .none) async throws
        -> Network
    {
        try await networks.create(
            .standard, NetworkRequest(name: name, block: AddressBlock(block), block6: six), requestID: "network \(name)"
        )
    }

    /// A machine on networks, as `NET[:ip=…]`.
    @discardableResult
    func machine(
        _ name: String, on attachments: [String], ports: [String] = [], request: String? = nil
    ) async throws -> VirtualMachine {
        var spec = MachineSpec(image: "debian")
        for text in attachments {
            var attachment = try #require(NetworkAttachment(text))
            attachment.networkID = try await networks.get(.standard, attachment.network).metadata.id
            spec.networks.append(attachment)
        }
        spec.ports = ports.flatMap { PublishedPort.list($0) ?? [] }
        return try await machines.create(
            .standard, name: name, spec: spec, node: node, requestID: request ?? "create \(name)"
        ).machine
    }
}

/// The error that a body fails with; nil where it does not.
func refusal(_ body: () async throws -> Void) async throws -> CoveyError? {
    do {
        try await body()
        return nil
    } catch let error as CoveyError {
        return error
    }
}

@Suite("Networks", .timeLimit(.minutes(1)))
struct NetworksTests {
    @Test("a network is made with its name and blocks in one transaction; the same request makes one")
    func create() async throws {
        let fixture = try await Fixture()
        let before = try await fixture.store.currentRevision()
        let network = try await fixture.network(six: .auto)
        #expect(try await fixture.store.currentRevision() == before.next)
        #expect(network.spec.block.description == "10.90.0.0/24" && network.spec.gateway.description == "10.90.0.1")
        let six = try #require(network.spec.block6)
        #expect(six.length == 64 && six.description.hasPrefix("fd"))
        #expect(try await fixture.network(six: .auto) == network, "the repeat finds what was made")
        #expect(try await fixture.networks.get(.standard, "web") == network)
        #expect(try await fixture.networks.list(.standard).items == [network])
        let other = try await refusal {
            _ = try await fixture.networks.create(.standard, NetworkRequest(name: "db"), requestID: "network web")
        }
        #expect(other?.code == .conflict)
        let named = try await refusal {
            _ = try await fixture.networks.create(.standard, NetworkRequest(name: "web"), requestID: "other")
        }
        #expect(named?.code == .conflict && named?.message.contains("network web exists already") == true)
        for name in ["none", "No", ""] {
            let bad = try await refusal {
                _ = try await fixture.networks.create(.standard, NetworkRequest(name: name), requestID: "x")
            }
            #expect(bad?.code == .invalid, "\(name)")
        }
    }

    @Test(
        "blocks that overlap one of another network are refused, whichever tenant's it is",
        arguments: ["10.90.0.0/24", "10.90.0.128/25", "10.90.0.0/16", "10.90.0.4/30"])
    func overlaps(_ block: String) async throws {
        let fixture = try await Fixture()
        try await fixture.network(six: .block(try #require(AddressBlock("fd00:1::/64"))))
        let error = try await refusal { try await fixture.network("other", block) }
        #expect(error?.code == .conflict && error?.message.contains("overlaps 10.90.0.0/24 of network web") == true)
        let stranger = try await refusal {
            _ = try await fixture.networks.create(
                Tenant("team"), NetworkRequest(name: "web", block: AddressBlock(block)), requestID: "r")
        }
        #expect(stranger?.code == .conflict && stranger?.message.contains("web") == false)
        let six = try await refusal {
            try await fixture.network("six", "10.91.0.0/24", six: .block(try #require(AddressBlock("fd00:1::/64"))))
        }
        #expect(six?.code == .conflict)
        try await fixture.network("beside", "10.91.0.0/24")
        try await fixture.networks.remove(.standard, "web", requestID: "rm")
        try await fixture.network("again", block)
    }

    @Test("a block that was not given is free and is routed nowhere else, and a given one that is routed is refused")
    func chosen() async throws {
        let fixture = try await Fixture()
        let routed = ["0.0.0.0/0", "10.83.0.0/17", "10.83.128.5/32"].compactMap { AddressBlock($0) }
        let first = try await fixture.networks.create(
            .standard, NetworkRequest(name: "a"), avoiding: routed, requestID: "a")
        #expect(first.spec.block.description == "10.83.144.0/20")
        let second = try await fixture.networks.create(
            .standard, NetworkRequest(name: "b"), avoiding: routed, requestID: "b")
        #expect(second.spec.block.description == "10.83.160.0/20")
        let error = try await refusal {
            _ = try await fixture.networks.create(
                .standard, NetworkRequest(name: "c", block: AddressBlock("10.83.64.0/24")), avoiding: routed,
                requestID: "c")
        }
        #expect(error?.code == .conflict && error?.message.contains("10.83.0.0/17") == true)
        let none = try await refusal {
            _ = try await fixture.networks.create(
                .standard, NetworkRequest(name: "d"),
                avoiding: ["10.0.0.0/8", "172.16.0.0/12"].compactMap { AddressBlock($0) }, requestID: "d")
        }
        #expect(none?.code == .exhausted)
    }

    @Test("of networks that are made at the same time, no two overlap")
    func concurrent() async throws {
        let fixture = try await Fixture()
        let networks = try await withThrowingTaskGroup(of: Network.self) { group in
            for number in 0..<20 {
                group.addTask {
                    try await fixture.networks.create(
                        .standard, NetworkRequest(name: "n-\(number)", block6: .auto), requestID: "n-\(number)")
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(networks.map(\.spec.block)).count == 20 && Set(networks.map(\.spec.block6)).count == 20)
    }

    @Test("every tenant has a default network of its own, made once, whoever asks how often")
    func defaults() async throws {
        let fixture = try await Fixture()
        let made = try await withThrowingTaskGroup(of: Network.self) { group in
            for number in 0..<12 {
                group.addTask {
                    try await fixture.networks.ensureDefault(
                        number % 2 == 0 ? .standard : Tenant("team"), avoiding: [], withIPv6: true)
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(made.map(\.metadata.id)).count == 2 && Set(made.map(\.spec.block)).count == 2)
        #expect(made.allSatisfy { $0.metadata.name == "default" && $0.spec.block6 != nil })
    }

    @Test("policy and MTU change, what cannot be is refused, and a watch sees it")
    func update() async throws {
        let fixture = try await Fixture()
        let network = try await fixture.network(six: .auto)
        let changes = fixture.networks.watch().makeAsyncIterator()
        _ = try await changes.next()
        var change = NetworkChange()
        change.egress = EgressPolicy("example.com:443")
        change.isolated = false
        change.reachesHost = true
        change.mtu = 1400
        let changed = try await fixture.networks.update(network.metadata.id, requestID: "u", change)
        #expect(changed.metadata.generation == 2 && changed.spec.egress.description == "example.com:443")
        #expect(try await fixture.networks.update(network.metadata.id, requestID: "u", change) == changed)
        guard case .updated(let seen)? = try await changes.next() else {
            Issue.record("no change came")
            return
        }
        #expect(seen == changed)
        change.mtu = 1000
        let error = try await refusal {
            _ = try await fixture.networks.update(network.metadata.id, requestID: "bad", change)
        }
        #expect(error?.code == .invalid)
        try await fixture.networks.updateStatus(network.metadata.id) { status in
            status.conditions = [
                Condition(type: "Carried", state: .no, reason: "x", message: "y", since: Timestamp(milliseconds: 1))
            ]
        }
        #expect(try await fixture.networks.get(network.metadata.id).status.conditions.count == 1)
    }

    @Test("a network in use stays, with up to three machines named; one that nobody uses goes with all its keys")
    func remove() async throws {
        let fixture = try await Fixture()
        let before = try await fixture.store.keys("")
        try await fixture.network()
        var machines: [VirtualMachine] = []
        for number in 1...5 { machines.append(try await fixture.machine("vm-\(number)", on: ["web"])) }
        let error = try await refusal { try await fixture.networks.remove(.standard, "web", requestID: "r1") }
        #expect(error?.code == .conflict)
        #expect(error?.message.split(separator: "vm vm-").count == 4, "\(error?.message ?? "")")
        #expect(error?.message.hasSuffix("2 more") == true)
        for machine in machines { try await fixture.machines.remove(machine.metadata.id) }
        #expect(try await fixture.store.keys("rest/").count == 5)
        try await fixture.networks.remove(.standard, "web", requestID: "r2")
        try await fixture.networks.remove(.standard, "web", requestID: "r2")
        let gone = try await refusal { try await fixture.networks.remove(.standard, "web", requestID: "r3") }
        #expect(gone?.code == .notFound)
        let left = Set(try await fixture.store.keys("")).subtracting(before)
        #expect(
            left.allSatisfy {
                $0.contains("operation") || $0.hasPrefix("event/") || $0.hasPrefix("request/")
                    || $0 == "networks/blocks"
            },
            "\(left)")
    }

    @Test("a network is not removed under a machine that is made meanwhile, over and over")
    func races() async throws {
        let store = MemoryStore()
        try await AddressWorkload([store, store]).removalRaces(40)
    }

    @Test("the sweep takes what has rested, and what networks left that are gone")
    func sweep() async throws {
        let fixture = try await Fixture()
        try await fixture.network()
        for number in 0..<4 {
            try await fixture.machines.remove(try await fixture.machine("a-\(number)", on: ["web"]).metadata.id)
        }
        try await fixture.networks.sweep()
        #expect(try await fixture.store.keys("rest/").count == 4)
        try await fixture.store.put("rest/00000000-0000-0000-0000-000000000009/10.0.0.1", "x")
        fixture.time.advance(by: .seconds(61))
        try await fixture.store.put("rest/strange", "x")
        try await fixture.networks.sweep()
        #expect(try await fixture.store.keys("rest/") == ["rest/strange"])
    }
}
