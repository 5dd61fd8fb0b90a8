import CoveyGuestProtocol
import CoveyModel
import CoveyNetwork
import CoveyNode
import CoveyStore
import CoveySystem
import CoveyTesting
import Synchronization
import Testing

extension Rig {
    /// What was applied last.
    fileprivate var carried: NetworkState { networks.state.withLock(\.applied) }

    /// Waits until these names of machines are answered, and no others.
    fileprivate func answers(_ names: [String]) async throws {
        try await withDeadline(.seconds(60), "\(names)") { [networks] in
            while networks.state.withLock({ $0.names.interfaces.map(\.name) != names }) {
                try await Task.sleep(for: .milliseconds(2))
            }
        }
    }

    /// Waits until the host carries what it should.
    fileprivate func carries(_ what: String, _ holds: @escaping @Sendable (NetworkState) -> Bool) async throws {
        try await withDeadline(.seconds(60), what) { [networks] in
            while !networks.state.withLock({ holds($0.applied) }) { try await Task.sleep(for: .milliseconds(2)) }
        }
    }
}

@Suite("Networks on a node") struct NetworkTests {
    @Test("a machine's interfaces are carried from before its start until its run is gone, with its names")
    func life() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("web") {
                $0.ports = [PublishedPort(hostPort: 8080, guestPort: 80)]
                $0.egress = .closed
            }
            #expect(try await rig.wait(created).status.state == .succeeded)
            let (id, address) = (machine.metadata.id, try #require(machine.spec.networks.first?.address))
            let interface = try #require(rig.carried.interfaces.first)
            #expect(interface.key == InterfaceKey(machine: id, index: 0) && interface.address == address)
            #expect(interface.ports == machine.spec.ports && interface.egress == .closed)
            #expect(rig.carried.networks.map(\.name) == ["net"])
            #expect(rig.networks.state.withLock(\.names).interfaces == [interface])

            try await rig.want(id, .stopMachine) { $0.wanted = .stopped }
            try await rig.wait(id, "stopped") { $0?.status.phase == .stopped }
            #expect(rig.carried == NetworkState())
            #expect(rig.networks.state.withLock(\.names).interfaces.map(\.address) == [address], "a name stays")

            try await rig.want(id, .startMachine) {
                $0.wanted = .running
                $0.startRequest += 1
            }
            try await rig.wait(id, "running") { $0?.status.phase == .running }
            #expect(rig.carried.interfaces.map(\.address) == [address])
            try await rig.want(id, .deleteMachine) { $0.deleting = true }
            try await rig.wait(id, "gone") { $0 == nil }
            try await rig.carries("nothing") { $0 == NetworkState() }
            #expect(rig.networks.state.withLock(\.names).interfaces.isEmpty)
        }
    }

    @Test("what is changed while a machine runs is carried: its ports, its policy and its network's")
    func changes() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("web")
            _ = try await rig.wait(created)
            let port = PublishedPort(hostPort: 8080, guestPort: 80)
            _ = try await rig.repositories.machines.updateSpec(machine.metadata.id) {
                $0.ports = [port]
                $0.egress = .closed
            }
            try await rig.carries("the machine's change") { $0.interfaces.first?.ports == [port] }
            #expect(rig.carried.interfaces.first?.egress == .closed)
            var change = NetworkChange()
            change.reachesHost = true
            _ = try await rig.repositories.networks.update(
                rig.network.metadata.id, requestID: "set", change)
            try await rig.carries("the network's change") { $0.networks.first?.spec.reachesHost == true }
            #expect(rig.networks.state.withLock(\.made) == 1, "the tap is the one it was")
        }
    }

    @Test("a renamed machine's names follow, its guest's too, also where it is renamed while no daemon is there")
    func renaming() async throws {
        try await Rig.with { rig in
            try rig.start()
            for name in ["web", "plain"] {
                let (_, created) = try await rig.create(name) { if name == "plain" { $0.networks = [] } }
                _ = try await rig.wait(created)
            }
            func rename(_ old: String, _ new: String) async throws -> VirtualMachine {
                try await rig.repositories.machines.rename(.standard, old, to: new, requestID: "\(old) \(new)")
            }
            func follows(_ machine: VirtualMachine) async throws {
                let name = "vm-\(machine.metadata.id)-1"
                try await withDeadline(.seconds(60), "the guest's name") {
                    while rig.host.guestHostname(name) != machine.metadata.name {
                        try await Task.sleep(for: .milliseconds(2))
                    }
                }
            }
            let web = try await rename("web", "shop")
            try await follows(web)
            try await rig.answers(["shop"])
            #expect(rig.carried.interfaces.map(\.name) == ["shop"])
            #expect(rig.networks.state.withLock(\.made) == 1, "the tap is the one it was")
            let hosts = rig.host.guestNetwork("vm-\(web.metadata.id)-1")?.hosts ?? []
            #expect(Set(hosts.flatMap(\.names)) == ["shop.vm", "shop"])
            try await follows(try await rename("plain", "simple"))

            await rig.kill()
            let later = try await rename("shop", "store")
            let other = try await rename("simple", "shop")
            try rig.start()
            try await follows(later)
            try await follows(other)
            try await rig.answers(["store"])
            #expect(try await rig.repositories.machines.get(.standard, "shop").metadata.id == other.metadata.id)
            #expect(rig.host.processes.count == 2, "nothing was restarted")
        }
    }

    @Test("a daemon that starts never takes away what a machine uses")
    func adoption() async throws {
        try await Rig.with { rig in
            try rig.start()
            for name in ["one", "two"] { _ = try await rig.wait(try await rig.create(name).operation) }
            for round in 0..<3 {
                await rig.kill()
                try rig.start()
                _ = try await rig.wait(try await rig.create("more\(round)").operation)
            }
            #expect(rig.networks.state.withLock(\.made) == 5)
            #expect(rig.carried.interfaces.count == 5)
        }
    }

    @Test("a machine that the host cannot carry is refused with the reason, and nothing stays of it")
    func refused() async throws {
        try await Rig.with { rig in
            try rig.start()
            rig.networks.state.withLock { $0.failure = CoveyError(.unsupported, "nft is missing", remedy: "apt") }
            let (first, created) = try await rig.create("one")
            let failed = try await rig.wait(created)
            #expect(failed.status.error?.message.contains("nft is missing") == true)
            try await rig.wait(first.metadata.id, "gone") { $0 == nil }

            let port = PublishedPort(hostPort: 8080, guestPort: 80)
            rig.networks.state.withLock {
                $0.failure = nil
                $0.holders = [PortHolder(port: port, pid: 7, program: "nginx")]
            }
            let (second, other) = try await rig.create("two") { $0.ports = [port] }
            let error = try await rig.wait(other).status.error
            #expect(error?.code == .conflict && error?.message.contains("nginx (pid 7)") == true)
            try await rig.wait(second.metadata.id, "gone") { $0 == nil }
            try await rig.carries("nothing") { $0 == NetworkState() }
            #expect(try await rig.leftovers().isEmpty)
        }
    }

    @Test("a machine that was there and cannot be carried fails, and nothing of it stays on the host")
    func refusedLater() async throws {
        try await Rig.with { rig in
            try rig.start()
            let port = PublishedPort(hostPort: 8080, guestPort: 80)
            let (machine, created) = try await rig.create("one") { $0.ports = [port] }
            _ = try await rig.wait(created)
            let id = machine.metadata.id
            try await rig.want(id, .stopMachine) { $0.wanted = .stopped }
            try await rig.wait(id, "stopped") { $0?.status.phase == .stopped }
            rig.networks.state.withLock { $0.holders = [PortHolder(port: port, pid: 7, program: "nginx")] }
            let start = try await rig.want(id, .startMachine) {
                $0.wanted = .running
                $0.startRequest += 1
            }
            let error = try await rig.wait(try #require(start)).status.error
            #expect(error?.message.contains("nginx (pid 7)") == true)
            try await rig.wait(id, "failed") { $0?.status.phase == .failed }
            #expect(rig.carried == NetworkState() && rig.networks.state.withLock(\.taps).isEmpty)
        }
    }

    @Test("a host that refuses keeps no machine from being removed, and the next look at it takes away what is left")
    func releasedLater() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("one")
            _ = try await rig.wait(created)
            let id = machine.metadata.id
            rig.networks.state.withLock { $0.failure = CoveyError(.unavailable, "the kernel is busy") }
            try await rig.want(id, .deleteMachine) { $0.deleting = true }
            try await rig.wait(id, "gone") { $0 == nil }
            #expect(rig.networks.state.withLock(\.taps).count == 1)
            rig.networks.state.withLock { $0.failure = nil }
            try await rig.carries("nothing") { $0 == NetworkState() }
            #expect(rig.networks.state.withLock(\.taps).isEmpty)
        }
    }

    @Test("a host that cannot for a moment is asked again")
    func putOff() async throws {
        try await Rig.with { rig in
            try rig.start()
            rig.networks.state.withLock { $0.failure = CoveyError(.unavailable, "the kernel is busy") }
            let (machine, created) = try await rig.create("one")
            try await withDeadline(.seconds(60), "a try") {
                while rig.networks.state.withLock(\.applications) == 0 { try await Task.sleep(for: .milliseconds(2)) }
            }
            rig.networks.state.withLock { $0.failure = nil }
            #expect(try await rig.wait(created).status.state == .succeeded)
            try await rig.wait(machine.metadata.id, "running") { $0?.status.phase == .running }
        }
    }

    @Test("two hundred machines come and go over a daemon's deaths: addresses are unique, and nothing stays")
    func many() async throws {
        try await Rig.with { rig in
            try rig.start()
            let machines = try await withThrowingTaskGroup(of: VirtualMachine.self) { group in
                for number in 0..<200 {
                    // At most fifty at once.
                    if number >= 50 { _ = try await group.next().map { $0 } }
                    group.addTask { try await rig.create("m\(number)").machine }
                    if number % 67 == 66 {
                        await rig.kill()
                        try rig.start()
                    }
                }
                try await group.waitForAll()
                return try await rig.repositories.machines.list().items
            }
            #expect(machines.count == 200)
            #expect(Set(machines.compactMap { $0.spec.networks.first?.address }).count == 200)
            #expect(Set(machines.compactMap { $0.spec.networks.first?.mac }).count == 200)
            for machine in machines { try await rig.wait(machine.metadata.id, "up") { $0?.status.phase == .running } }
            let taps = rig.networks.state.withLock(\.taps)
            #expect(taps.count == 200 && Set(taps.values).count == 200)
            for machine in machines {
                try await rig.want(machine.metadata.id, .deleteMachine) { $0.deleting = true }
            }
            await rig.kill()
            try rig.start()
            for machine in machines { try await rig.wait(machine.metadata.id, "gone") { $0 == nil } }
            try await rig.carries("nothing") { $0 == NetworkState() }
            #expect(try await rig.leftovers().isEmpty)
        }
    }
}
