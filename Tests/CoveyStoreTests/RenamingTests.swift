internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Synchronization
internal import Testing

extension Fixture {
    @discardableResult
    fileprivate func rename(_ old: String, _ new: String, request: String? = nil) async throws -> VirtualMachine {
        try await machines.rename(.standard, old, to: new, requestID: request ?? "\(old) to \(new)")
    }

    /// The names that have a key, and whose they are.
    fileprivate func names() async throws -> [String: String] {
        let entries = try await store.list("name/vm/default/").entries
        return Dictionary(
            uniqueKeysWithValues: entries.map {
                (String($0.key.text.dropFirst(16)), String(decoding: $0.value, as: UTF8.self))
            })
    }

    /// Every machine has the key of its name, and no other name has one.
    fileprivate func expectAgreement(_ comment: Comment? = nil) async throws {
        let machines = try await machines.list().items
        let wanted = Dictionary(machines.map { ($0.metadata.name, $0.metadata.id.description) }) { first, _ in first }
        #expect(try await names() == wanted && wanted.count == machines.count, comment)
    }
}

@Suite("Renaming of machines", .timeLimit(.minutes(1)))
struct RenamingTests {
    @Test("a rename moves the name, raises the generation and wakes the node, in one transaction")
    func rename() async throws {
        let fixture = try await Fixture()
        let machine = try await fixture.create("web")
        let id = machine.metadata.id
        let binding = StoreKey("node/\(fixture.node)/vm/\(id)")
        let before = try await fixture.store.text(binding)
        let revision = try await fixture.store.currentRevision()
        let renamed = try await fixture.rename("web", "shop")
        #expect(try await fixture.store.currentRevision() == revision.next)
        #expect(renamed.metadata.name == "shop" && renamed.metadata.generation == 2)
        #expect(renamed.spec == machine.spec && renamed.status == machine.status)
        #expect(try await fixture.machines.get(id) == renamed)
        #expect(try await fixture.names() == ["shop": id.description])
        #expect(try await fixture.store.text(binding) != before)
        #expect(await code { _ = try await fixture.machines.get(.standard, "web") } == .notFound)
        #expect(try await fixture.create("web", request: "another").metadata.id != id, "the old name is free")
        try await fixture.rename(id.description, "by-id")
        try await fixture.rename(id.tail(12), "by-tail")
        try await fixture.machines.remove(id)
        #expect(try await fixture.names().keys.sorted() == ["web"])
    }

    @Test("a bad or taken name, a machine that is being deleted, and nobody are refused; the same name changes nothing")
    func refusals() async throws {
        let fixture = try await Fixture()
        let machine = try await fixture.create("web")
        _ = try await fixture.create("db")
        let revision = try await fixture.store.currentRevision()
        for name in ["", "Web", "a_b", "a.b", "-a", "a-", String(repeating: "a", count: 64)] {
            #expect(await code { try await fixture.rename("web", name) } == .invalid, "\(name)")
        }
        let taken = await #expect(throws: CoveyError.self) { try await fixture.rename("web", "db") }
        #expect(taken?.code == .conflict && taken?.message == "vm db exists already" && taken?.remedy != nil)
        #expect(await code { try await fixture.rename("nobody", "x") } == .notFound)
        #expect(await code { try await fixture.rename("web", "x", request: "") } == .invalid)
        let other = try Tenant("other")
        #expect(
            await code { _ = try await fixture.machines.rename(other, "web", to: "x", requestID: "r") } == .notFound)
        let id = machine.metadata.id.description
        #expect(await code { _ = try await fixture.machines.rename(other, id, to: "x", requestID: "r") } == .notFound)
        #expect(try await fixture.rename("web", "web") == machine)
        #expect(try await fixture.store.currentRevision() == revision, "nothing was written")
        _ = try await fixture.machines.updateSpec(machine.metadata.id) { $0.deleting = true }
        #expect(await code { try await fixture.rename("web", "x") } == .conflict)
    }

    @Test("a repeat returns the machine as it stands now, also where its old name is another's")
    func repeats() async throws {
        let fixture = try await Fixture()
        let machine = try await fixture.create("web")
        let first = try await fixture.rename("web", "shop", request: "r")
        #expect(try await fixture.rename("web", "shop", request: "r") == first)
        let next = try await fixture.create("web", request: "next")
        #expect(try await fixture.rename("web", "shop", request: "r") == first)
        #expect(try await fixture.machines.get(next.metadata.id).metadata.name == "web")
        let later = try await fixture.rename("shop", "store")
        #expect(try await fixture.rename("web", "shop", request: "r") == later)
        #expect(await code { try await fixture.rename("web", "other", request: "r") } == .conflict)
        #expect(await code { _ = try await fixture.create("x", request: "r") } == .conflict)
        try await fixture.machines.remove(machine.metadata.id)
        #expect(await code { try await fixture.rename("web", "shop", request: "r") } == .conflict)
        try await fixture.expectAgreement()
    }

    @Test("the volumes of a machine say its new name")
    func volumes() async throws {
        let fixture = try await Fixture()
        let volumes = fixture.repositories.volumes
        var mounts: [VolumeMount] = []
        for number in 0..<Volumes.limit {
            let made = try await volumes.create(
                .standard, name: "data-\(number)", spec: VolumeSpec(size: .mebibytes(64)), node: fixture.node,
                requestID: "volume \(number)")
            try await volumes.updateStatus(made.volume.metadata.id) { $0.state = .ready }
            mounts.append(
                VolumeMount(
                    volume: "data-\(number)", volumeID: made.volume.metadata.id, path: "/\(number)", readOnly: true))
        }
        var spec = MachineSpec(image: "debian")
        spec.volumes = mounts
        let shared = spec
        for name in ["web", "db"] {
            _ = try await fixture.machines.create(
                .standard, name: name, spec: shared, node: fixture.node, requestID: name)
        }
        try await fixture.rename("web", "shop")
        let listed = try await volumes.list().items
        #expect(listed.count == Volumes.limit)
        for volume in listed { #expect(volume.spec.attachments.map(\.name) == ["shop", "db"]) }
    }

    @Test("of many machines that want one name one has it, and of many names for one machine one is its name")
    func races() async throws {
        let fixture = try await Fixture()
        for number in 0..<8 { _ = try await fixture.create("vm-\(number)") }
        func won(_ body: @escaping @Sendable (Int) async throws -> Void) async -> Int {
            await withTaskGroup(of: Bool.self) { group in
                for number in 0..<8 { group.addTask { (try? await body(number)) != nil } }
                return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
        }
        #expect(await won { try await fixture.rename("vm-\($0)", "same") } == 1)
        #expect(await won { try await fixture.rename("same", "name-\($0)") } == 1)
        // Renames into a name against its creation.
        let others = try await fixture.machines.list().items.map(\.metadata.id.description)
        #expect(
            await won { number in
                if number < 4 {
                    _ = try await fixture.create("new", request: "new \(number)")
                } else {
                    try await fixture.rename(others[number], "new", request: "new \(number)")
                }
            } == 1)
        try await fixture.expectAgreement()
    }

    @Test(
        "whatever is made, renamed and removed at once, with outcomes unknown, names and machines agree",
        arguments: 0..<10)
    func random(seed: UInt64) async throws {
        let store = MemoryStore()
        let fixture = try await Fixture(store: store)
        // At most three in a row: a call gives up after five.
        let faults = Mutex((generator: SeededGenerator(seed: seed), row: 0))
        store.setFaults { call in
            guard case .write = call else { return nil }
            return faults.withLock { faults in
                let chance = Int.random(in: 0..<6, using: &faults.generator)
                faults.row = chance < 2 && faults.row < 3 ? faults.row + 1 : 0
                if faults.row == 0 { return nil }
                return chance == 0 ? .unknownBefore : .unknownAfter
            }
        }
        // One after the other: every rename happens exactly once.
        let id = try await fixture.create("m-0").metadata.id
        for step in 1...15 {
            let renamed = try await fixture.rename("m-\(step - 1)", "m-\(step)")
            #expect(renamed.metadata.id == id && renamed.metadata.generation == Int64(step) + 1, "seed \(seed)")
        }
        await withTaskGroup { group in
            for worker in 0..<4 {
                group.addTask {
                    var random = SeededGenerator(seed: seed &* 4 + UInt64(worker))
                    for step in 0..<20 {
                        // Each may lose against the others; what counts is what the store says then.
                        let name = "n-\(Int.random(in: 0..<5, using: &random))"
                        let other = "n-\(Int.random(in: 0..<5, using: &random))"
                        let request = "\(worker) \(step)"
                        switch Int.random(in: 0..<4, using: &random) {
                        case 0: _ = try? await fixture.create(name, request: request)
                        case 1:
                            guard let machine = try? await fixture.machines.get(.standard, name) else { continue }
                            try? await fixture.machines.remove(machine.metadata.id)
                        case _: _ = try? await fixture.rename(name, other, request: request)
                        }
                    }
                }
            }
        }
        store.setFaults { _ in nil }
        try await fixture.expectAgreement("seed \(seed)")
    }
}
