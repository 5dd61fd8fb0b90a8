internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Synchronization
internal import Testing

@Suite("Addresses", .timeLimit(.minutes(2)))
struct AddressesTests {
    @Test("a machine gets its addresses in the transaction that makes it, and keeps them through every change")
    func create() async throws {
        let fixture = try await Fixture()
        let network = try await fixture.network(six: .auto)
        let before = try await fixture.store.currentRevision()
        let machine = try await fixture.machine("web", on: ["web"], ports: ["8080:80", "0.0.0.0:53:53/udp"])
        #expect(try await fixture.store.currentRevision() == before.next)
        let attachment = try #require(machine.spec.networks.first)
        let address = try #require(attachment.address)
        #expect(network.spec.block.contains(.v4(address)))
        #expect(
            attachment.address6?.low == UInt64(address.bits & 0xFF)
                && attachment.mac?.isGiven(by: network.metadata.id) == true)
        #expect(machine.status.addresses == [address.description, attachment.address6?.description])
        #expect(machine.status.ports == ["8080:80", "0.0.0.0:53:53/udp"])
        #expect(try await fixture.machines.get(machine.metadata.id) == machine)
        let changed = try await fixture.machines.updateSpec(machine.metadata.id) { $0.wanted = .stopped }.machine
        #expect(changed.spec.networks == machine.spec.networks)
        let again = try await Fixture(store: fixture.store)
        #expect(try await again.machines.get(machine.metadata.id).spec.networks == machine.spec.networks)
        #expect(
            try await fixture.machine("web", on: ["web"], ports: ["8080:80", "0.0.0.0:53:53/udp"]).spec == changed.spec)
    }

    @Test("addresses begin at a random place of the block, and none of ours is given to a machine")
    func spread() async throws {
        let fixture = try await Fixture()
        try await fixture.network("wide", "10.64.0.0/16")
        try await fixture.network("narrow", "10.90.0.0/28")
        var places: Set<UInt32> = []
        for number in 0..<20 {
            let machine = try await fixture.machine("w-\(number)", on: ["wide"])
            places.insert((machine.spec.networks[0].address?.bits ?? 0) >> 8 & 0xFF)
        }
        #expect(places.count > 12)
        var last: [UInt32] = []
        for number in 0..<12 {
            let machine = try await fixture.machine("n-\(number)", on: ["narrow"])
            last.append((machine.spec.networks[0].address?.bits ?? 0) & 0xF)
        }
        #expect(last.sorted() == Array(2...13))
        let error = try await refusal { try await fixture.machine("more", on: ["narrow"]) }
        #expect(error?.code == .exhausted)
        #expect(
            error?.message.contains("has 12 addresses for machines: 12 are in use") == true, "\(error?.message ?? "")")
    }

    @Test("an address is freed with its machine, rests for a minute, and is given again then")
    func rest() async throws {
        let fixture = try await Fixture()
        try await fixture.network("tiny", "10.90.0.0/30", six: .auto)
        let machine = try await fixture.machine("one", on: ["tiny"])
        #expect(machine.status.addresses.first == "10.90.0.2")
        let full = try await refusal { try await fixture.machine("two", on: ["tiny"]) }
        #expect(full?.code == .exhausted && full?.retryable == false)
        try await fixture.machines.remove(machine.metadata.id)
        try await fixture.machines.remove(machine.metadata.id)
        let resting = try await refusal { try await fixture.machine("two", on: ["tiny"]) }
        #expect(resting?.code == .exhausted && resting?.retryable == true)
        #expect(resting?.message.contains("and 1 rest for up to 1m") == true, "\(resting?.message ?? "")")
        let chosen = try await refusal { try await fixture.machine("two", on: ["tiny:ip=10.90.0.2"]) }
        #expect(
            chosen?.code == .conflict && chosen?.retryable == true && chosen?.message.contains("rests for ") == true)
        fixture.time.advance(by: .seconds(60))
        let next = try await fixture.machine("two", on: ["tiny"])
        #expect(next.status.addresses.first == "10.90.0.2")
        #expect(try await fixture.store.keys("rest/").allSatisfy { !$0.hasSuffix("10.90.0.2") })
    }

    @Test("a clock that was put back keeps no address for longer")
    func clock() async throws {
        let fixture = try await Fixture()
        try await fixture.network("tiny", "10.90.0.0/30")
        try await fixture.machines.remove(try await fixture.machine("one", on: ["tiny"]).metadata.id)
        fixture.time.advance(by: .seconds(-3600))
        #expect(try await fixture.machine("two", on: ["tiny"]).status.addresses == ["10.90.0.2"])
    }

    @Test(
        "an address that no machine may have is invalid, with what would do",
        arguments: [
            ("ip=10.91.0.5", "is not of block"), ("ip=10.90.0.0", "stands for"), ("ip=10.90.0.1", "is the gateway"),
            ("ip=10.90.0.254", "is kept for the node"), ("ip=10.90.0.255", "broadcast"),
            ("ip6=fd00:2::5", "is not of block"),
            ("ip6=fd00:1::", "stands for"), ("ip6=fd00:1::1", "is the gateway"), ("mac=01:00:00:00:00:01", "unicast"),
            ("mac=00:00:00:00:00:00", "unicast"),
        ])
    func badChoices(_ choice: String, _ reason: String) async throws {
        let fixture = try await Fixture()
        try await fixture.network(six: .block(try #require(AddressBlock("fd00:1::/64"))))
        let error = try await refusal { try await fixture.machine("web", on: ["web:\(choice)"]) }
        #expect(error?.code == .invalid && error?.remedy != nil)
        #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
        #expect(try await fixture.machines.list().items.isEmpty)
    }

    @Test("what was chosen is had, and another who wants it is told whose it is")
    func choices() async throws {
        let fixture = try await Fixture()
        let network = try await fixture.network(six: .block(try #require(AddressBlock("fd00:1::/64"))))
        let text = "web:ip=10.90.0.9,ip6=fd00:1::77,mac=0a:00:00:00:00:09"
        let machine = try await fixture.machine("one", on: [text])
        #expect(machine.status.addresses == ["10.90.0.9", "fd00:1::77"])
        for choice in ["ip=10.90.0.9", "ip6=fd00:1::77", "mac=0a:00:00:00:00:09"] {
            let error = try await refusal { try await fixture.machine("two", on: ["web:\(choice)"]) }
            #expect(error?.code == .conflict && error?.message.hasSuffix("belongs to vm one") == true, "\(choice)")
        }
        let given = MACAddress(network.metadata.id, place: 77)
        let error = try await refusal { try await fixture.machine("two", on: ["web:mac=\(given)"]) }
        #expect(error?.code == .invalid && error?.message.contains("gives it itself") == true)
        // 10.90.0.119 goes with fd00:1::77, which is taken.
        let beside = try await fixture.machine("two", on: ["web:ip=10.90.0.119"])
        #expect(
            beside.spec.networks[0].address6 != IPv6Address("fd00:1::77") && beside.spec.networks[0].address6 != nil)
        try await fixture.network("four", "10.91.0.0/24")
        let four = try await refusal { try await fixture.machine("three", on: ["four:ip6=fd00:1::5"]) }
        #expect(four?.code == .invalid && four?.message.contains("has no IPv6 block") == true)
        try await fixture.machines.remove(machine.metadata.id)
        #expect(try await fixture.store.keys("mac/").isEmpty)
        try await fixture.machine("three", on: ["web:mac=0a:00:00:00:00:09"])
    }

    @Test("a machine that does not run changes its networks; what it stays on keeps its addresses")
    func change() async throws {
        let fixture = try await Fixture()
        let (web, data) = (try await fixture.network(six: .auto), try await fixture.network("data", "10.91.0.0/24"))
        let machine = try await fixture.machine("one", on: ["web", "data"])
        let id = machine.metadata.id
        func set(_ attachments: [NetworkAttachment]) async throws -> VirtualMachine {
            try await fixture.machines.updateSpec(id) { $0.networks = attachments }.machine
        }
        func plain(_ network: Network) -> NetworkAttachment {
            NetworkAttachment(network: network.metadata.name, networkID: network.metadata.id)
        }
        try await fixture.machines.updateStatus(id) { $0.phase = .running }
        let running = try await refusal { _ = try await set([plain(web)]) }
        #expect(running?.code == .conflict && running?.remedy?.contains("covey vm stop one") == true)
        try await fixture.machines.updateStatus(id) { $0.phase = .stopped }
        let turned = try await set([plain(data), plain(web)])
        #expect(turned.spec.networks == machine.spec.networks.reversed())
        #expect(turned.status.addresses.first?.hasPrefix("10.91.0.") == true)
        var chosen = plain(data)
        chosen.address = IPv4Address("10.91.0.200")
        let moved = try await set([chosen])
        #expect(moved.status.addresses == ["10.91.0.200"])
        #expect(moved.spec.networks[0].mac == MACAddress(data.metadata.id, place: 200))
        #expect(try await fixture.store.keys("rest/").count == 3)
        #expect(try await fixture.store.keys("addr/") == ["addr/\(data.metadata.id)/10.91.0.200"])
        let none = try await set([])
        #expect(none.status.addresses.isEmpty)
        #expect(try await fixture.store.keys("addr/").isEmpty)
    }

    @Test("a machine on a network of another tenant, or of none, is not made")
    func tenants() async throws {
        let fixture = try await Fixture()
        let network = try await fixture.network()
        for id in [network.metadata.id, NetworkID(high: 1, low: 1)] {
            var spec = MachineSpec(image: "debian")
            spec.networks = [NetworkAttachment(network: "web", networkID: id)]
            let wanted = spec
            let error = try await refusal {
                _ = try await fixture.machines.create(
                    Tenant("team"), name: "x", spec: wanted, node: fixture.node, requestID: "r-\(id)")
            }
            #expect(error?.code == .notFound)
        }
    }

    @Test("50 creations at once have addresses of their own, in a block with hardly more room", arguments: 0..<3)
    func concurrent(round: Int) async throws {
        let store = MemoryStore()
        try await AddressWorkload([store, store]).concurrentCreations()
    }

    @Test("resting addresses do not pile up, however many machines come and go")
    func bounded() async throws {
        let fixture = try await Fixture()
        try await fixture.network("wide", "10.64.0.0/16", six: .auto)
        var most = 0
        for number in 0..<300 {
            let machine = try await fixture.machine("m-\(number)", on: ["wide"])
            fixture.time.advance(by: .seconds(30))
            try await fixture.machines.remove(machine.metadata.id)
            most = max(most, try await fixture.store.keys("rest/").count)
        }
        #expect(most < 40, "600 addresses were freed")
    }

    @Test(
        "whatever comes and goes, with answers lost and daemons anew, the store says what a model says",
        arguments: 0..<12)
    func history(seed: UInt64) async throws {
        let store = MemoryStore()
        var fixture = try await Fixture(store: store)
        let network = try await fixture.network("tiny", "10.90.0.0/28")
        let random = Mutex((generator: SeededGenerator(seed: seed), row: 0))
        store.setFaults { call in
            guard case .write = call else { return nil }
            return random.withLock { random in
                let chance = Int.random(in: 0..<8, using: &random.generator)
                random.row = chance < 2 && random.row < 3 ? random.row + 1 : 0
                if random.row == 0 { return nil }
                return chance == 0 ? .unknownBefore : .unknownAfter
            }
        }
        var choice = SeededGenerator(seed: seed &* 31)
        var held: [UInt32: VirtualMachine] = [:]
        var freed: [UInt32: Timestamp] = [:]
        var time = fixture.time
        for step in 0..<120 {
            // A minute's edge is not looked at: each look at the clock moves it.
            let now = time.now()
            let resting = Set(freed.filter { now.since($0.value) < .seconds(59) }.keys)
            let open = Set(2...13).subtracting(held.keys).subtracting(resting)
            switch Int.random(in: 0..<10, using: &choice) {
            case 0...3:
                let error = try await refusal {
                    let machine = try await fixture.machine("m-\(step)", on: ["tiny"])
                    let place = (machine.spec.networks[0].address?.bits ?? 0) & 0xF
                    #expect(open.contains(place), "seed \(seed) step \(step)")
                    held[place] = machine
                    freed[place] = nil
                }
                #expect((error == nil) == !open.isEmpty, "seed \(seed) step \(step)")
                #expect(error == nil || error?.code == .exhausted)
            case 4...5:
                let place = UInt32.random(in: 2...13, using: &choice)
                let error = try await refusal {
                    held[place] = try await fixture.machine("m-\(step)", on: ["tiny:ip=10.90.0.\(place)"])
                    freed[place] = nil
                }
                #expect((error == nil) == open.contains(place), "seed \(seed) step \(step)")
                #expect(error == nil || error?.code == .conflict)
            case 6...7:
                guard let place = held.keys.sorted().randomElement(using: &choice), let machine = held[place] else {
                    break
                }
                try await fixture.machines.remove(machine.metadata.id)
                held[place] = nil
                freed[place] = time.now()
            case 8:
                // A new program on the same store, whose clock goes on.
                let past = time.now()
                fixture = try await Fixture(store: store)
                time = fixture.time
                time.advance(by: past.since(time.now()))
            case _: time.advance(by: .seconds(61))
            }
            let keys = Set(try await store.keys("addr/"))
            #expect(
                keys == Set(held.keys.map { "addr/\(network.metadata.id)/10.90.0.\($0)" }), "seed \(seed) step \(step)")
        }
    }
}

@Suite("Published ports", .timeLimit(.minutes(1)))
struct PublishedPortsTests {
    @Test(
        "a port is published once; on every address it conflicts with each",
        arguments: [
            ("80:1", "80:2", true), ("80:1", "127.0.0.1:80:2", true), ("80:1", "0.0.0.0:80:2", true),
            ("0.0.0.0:80:1", "80:2", true), ("0.0.0.0:80:1", "1.2.3.4:80:2", true),
            ("1.2.3.4:80:1", "0.0.0.0:80:2", true),
            ("1.2.3.4:80:1", "1.2.3.5:80:2", false), ("80:1", "80:2/udp", false), ("80:1", "8:2", false),
            ("0.0.0.0:80:1", "[::]:80:2", false), ("[::]:80:1", "[::1]:80:2", true), ("80:1", "[::1]:80:2", false),
            ("8000-8010:1-11", "8010:1", true),
        ])
    func conflicts(_ first: String, _ second: String, _ conflict: Bool) async throws {
        let fixture = try await Fixture()
        try await fixture.network()
        try await fixture.machine("one", on: ["web"], ports: [first])
        let error = try await refusal { try await fixture.machine("two", on: ["web"], ports: [second]) }
        #expect(error?.code == (conflict ? .conflict : nil))
        #expect(error == nil || error?.message.hasSuffix("is published by vm one") == true, "\(error?.message ?? "")")
    }

    @Test("ports are freed with the machine, changed while it runs, and shown in its status")
    func change() async throws {
        let fixture = try await Fixture()
        try await fixture.network()
        let machine = try await fixture.machine("one", on: ["web"], ports: ["80:1", "81:1"])
        let id = machine.metadata.id
        try await fixture.machines.updateStatus(id) { $0.phase = .running }
        let ports = { @Sendable (text: [String]) in text.flatMap { PublishedPort.list($0) ?? [] } }
        let changed = try await fixture.machines.updateSpec(id) { $0.ports = ports(["80:9", "82:1/udp"]) }.machine
        #expect(changed.status.ports == ["80:9", "82:1/udp"] && changed.status.phase == .running)
        #expect(try await fixture.machines.get(id) == changed)
        try await fixture.machine("two", on: ["web"], ports: ["81:1"])
        let taken = try await refusal { _ = try await fixture.machines.updateSpec(id) { $0.ports = ports(["81:1"]) } }
        #expect(taken?.code == .conflict && taken?.message.contains("vm two") == true)
        let twice = try await refusal {
            _ = try await fixture.machines.updateSpec(id) { $0.ports = ports(["90:1", "0.0.0.0:90:1"]) }
        }
        #expect(twice?.code == .invalid)
        try await fixture.machines.remove(id)
        try await fixture.machine("three", on: ["web"], ports: ["80:1", "82:1/udp"])
    }

    @Test("a machine has as many ports as one transaction of the store holds beside all that a machine can have")
    func most() async throws {
        let fixture = try await Fixture()
        var mounts: [VolumeMount] = []
        for number in 0..<Volumes.limit {
            let volume = try await fixture.repositories.volumes.create(
                .standard, name: "v\(number)", spec: VolumeSpec(size: .mebibytes(64)), node: fixture.node,
                requestID: "v\(number)"
            ).volume
            try await fixture.repositories.volumes.updateStatus(volume.metadata.id) { $0.state = .ready }
            mounts.append(VolumeMount(volume: "v\(number)", volumeID: volume.metadata.id, path: "/v\(number)"))
        }
        var spec = MachineSpec(image: "debian")
        let image = try await fixture.repositories.images.create(
            .standard, name: "debian", spec: ImageSpec(source: .builtIn), node: fixture.node, requestID: "image"
        ).image
        spec.imageID = image.metadata.id
        spec.volumes = mounts
        for number in 0..<Networks.interfaceLimit {
            let network = try await fixture.network("n\(number)", "10.9\(number).0.0/24", six: .auto)
            spec.networks.append(
                NetworkAttachment(
                    network: "n\(number)", networkID: network.metadata.id,
                    mac: MACAddress("0a:00:00:00:00:0\(number)")))
        }
        spec.ports = try #require(PublishedPort.list("8000-8031:1-32"))
        let wanted = spec
        let machine = try await fixture.machines.create(
            .standard, name: "one", spec: wanted, node: fixture.node, requestID: "one"
        ).machine
        #expect(machine.spec.ports.count == PublishedPort.limit && machine.status.addresses.count == 8)
        let moved = try await fixture.machines.updateSpec(machine.metadata.id) { spec in
            spec.networks = []
            spec.ports = PublishedPort.list("0.0.0.0:9000-9031:1-32") ?? []
        }.machine
        #expect(moved.status.addresses.isEmpty)
        fixture.time.advance(by: .seconds(60))
        _ = try await fixture.machines.updateSpec(machine.metadata.id) { $0.networks = wanted.networks }
        for _ in 0..<40 {
            let run = try await fixture.repositories.runs.begin(machine.metadata.id).run
            try await fixture.repositories.runs.finish(fixture.node, machine.metadata.id, generation: run.generation)
        }
        try await fixture.machines.remove(machine.metadata.id)
        #expect(try await fixture.store.keys("node/\(fixture.node)/port/").isEmpty)
        var more = MachineSpec(image: "debian")
        more.ports = try #require(PublishedPort.list("8000-8032:1-33"))
        let tooMany = more
        let error = try await refusal {
            _ = try await fixture.machines.create(
                .standard, name: "two", spec: tooMany, node: fixture.node, requestID: "two")
        }
        #expect(error?.code == .invalid && error?.message.contains("33 published ports") == true)
    }

    @Test(
        "a port that is taken between the look and the write is not published twice",
        arguments: [
            ("80:80", "0.0.0.0:80:80"), ("0.0.0.0:80:80", "80:80"), ("80:80", "80:80"), ("[::]:80:1", "[::]:80:1"),
        ])
    func overtaken(_ slow: String, _ fast: String) async throws {
        let inner = try await Fixture()
        try await inner.network()
        let store = OvertakenStore(inner.store)
        let fixture = try await Fixture(over: store)
        store.whenLooked { try await inner.machine("fast", on: ["web"], ports: [fast]) }
        let error = try await refusal { try await fixture.machine("slow", on: ["web"], ports: [slow]) }
        #expect(error?.code == .conflict && error?.message.hasSuffix("is published by vm fast") == true)
        #expect(try await inner.machines.list().items.map(\.metadata.name) == ["fast"])
    }

    @Test("of many machines that want one port, on one address or all, one has it")
    func race() async throws {
        let fixture = try await Fixture()
        try await fixture.network()
        let made = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<20 {
                group.addTask {
                    let port = number % 2 == 0 ? "0.0.0.0:80:80" : "127.0.0.1:80:80"
                    return try await refusal {
                        try await fixture.machine("vm-\(number)", on: ["web"], ports: [port])
                    } == nil
                }
            }
            return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(made == 1)
        #expect(try await fixture.machines.list().items.count == 1)
    }
}

/// A store on which somebody else does something right after a look.
private final class OvertakenStore: Store {
    private let inner: MemoryStore
    private let hook = Mutex<(@Sendable () async throws -> Void)?>(nil)

    init(_ inner: MemoryStore) { self.inner = inner }

    /// Does something once, after the next look at a range with a port in it.
    func whenLooked(_ body: @escaping @Sendable () async throws -> some Sendable) {
        hook.withLock { $0 = { _ = try await body() } }
    }

    func range(_ prefix: StoreKey, from: StoreKey?, limit: Int?, at revision: Revision?) async throws -> RangePage {
        let page = try await inner.range(prefix, from: from, limit: limit, at: revision)
        let due = prefix.text.contains("/port/") ? hook.withLock { $0.take() } : nil
        try await due?()
        return page
    }

    func currentRevision() async throws -> Revision { try await inner.currentRevision() }
    func get(_ key: StoreKey) async throws -> StoreEntry? { try await inner.get(key) }
    func transact(_ transaction: Transaction) async throws -> TransactionResult {
        try await inner.transact(transaction)
    }
    func watch(_ prefix: StoreKey, from revision: Revision?) async throws -> WatchStream {
        try await inner.watch(prefix, from: revision)
    }
    func grantLease(seconds: Int) async throws -> Lease { try await inner.grantLease(seconds: seconds) }
    func keepAlive(_ lease: LeaseID) async throws { try await inner.keepAlive(lease) }
    func revokeLease(_ lease: LeaseID) async throws { try await inner.revokeLease(lease) }
    func compact(_ revision: Revision) async throws { try await inner.compact(revision) }
    func run() async throws { try await inner.run() }
}
