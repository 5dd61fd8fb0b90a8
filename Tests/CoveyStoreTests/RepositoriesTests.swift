internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Synchronization
internal import Testing

@Suite("Repositories", .timeLimit(.minutes(1)))
struct RepositoriesTests {
    @Test("a store of a newer program is refused in one line, and nothing is touched")
    func newer() async throws {
        let store = MemoryStore()
        try await store.put("meta/format", #"{"data":{"oldest":2,"program":"9.0.0"},"kind":"meta.format","v":1}"#)
        let before = try await store.currentRevision()
        let error = await #expect(throws: CoveyError.self) { try await Fixture(store: store) }
        #expect(error?.code == .unsupported)
        #expect(error?.description.contains("9.0.0") == true && error?.description.contains("\n") == false)
        #expect(try await store.currentRevision() == before)
        try await store.put("meta/format", "damaged")
        #expect(await code { _ = try await Fixture(store: store) } == .corrupt)
    }

    @Test("what cannot be read is set aside, stays where it is, and listing goes on")
    func setAside() async throws {
        let fixture = try await Fixture()
        let good = try await fixture.create("good")
        let badSpec = try await fixture.create("bad-spec")
        let badStatus = try await fixture.create("bad-status")
        let specKey = StoreKey("vm/default/\(badSpec.metadata.id)/spec")
        let statusKey = StoreKey("vm/default/\(badStatus.metadata.id)/status")
        try await fixture.store.put(specKey, "damaged")
        try await fixture.store.put(statusKey, #"{"data":{},"kind":"vm.status","v":9}"#)
        try await fixture.store.put("vm/default/strange", "x")
        for listing in [try await fixture.machines.list(), try await fixture.machines.list(.standard)] {
            #expect(listing.items.map(\.metadata.id) == [good.metadata.id])
            #expect(listing.setAside.count == 3)
            #expect(listing.setAside.contains { $0.key == specKey && $0.reason.contains("cannot be read") })
            #expect(listing.setAside.contains { $0.reason.contains("version 9") })
        }
        let node = try await fixture.machines.list(node: fixture.node)
        #expect(node.items.map(\.metadata.id) == [good.metadata.id] && node.setAside.count == 2)
        #expect(await code { _ = try await fixture.machines.get(badSpec.metadata.id) } == .corrupt)
        #expect(await code { _ = try await fixture.machines.updateStatus(badStatus.metadata.id) { _ in } } == .corrupt)
        #expect(await code { try await fixture.machines.remove(badSpec.metadata.id) } == .corrupt)
        #expect(try await fixture.store.text(specKey) == "damaged")
    }

    @Test("fields that this program does not know survive its changes")
    func unknownFields() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.create("web").metadata.id
        let key = StoreKey("vm/default/\(id)/spec")
        let text = try await fixture.store.text(key)
        try await fixture.store.put(key, text.replacing(#""cpus":1"#, with: #""cpus":1,"colour":{"r":255}"#))
        _ = try await fixture.machines.updateSpec(id) { $0.cpus = 3 }
        let after = try await fixture.store.text(key)
        #expect(after.contains(#""colour":{"r":255}"#) && after.contains(#""cpus":3"#))
    }

    @Test("an unknown outcome is resolved by reading back, whether the write happened or not", arguments: 0..<20)
    func unknownOutcomes(seed: UInt64) async throws {
        let store = MemoryStore()
        let fixture = try await Fixture(store: store)
        // At most three in a row: a call gives up after five.
        let random = Mutex((generator: SeededGenerator(seed: seed), row: 0))
        store.setFaults { call in
            guard case .write = call else { return nil }
            return random.withLock { random in
                let chance = Int.random(in: 0..<6, using: &random.generator)
                random.row = chance < 2 && random.row < 3 ? random.row + 1 : 0
                if random.row == 0 { return nil }
                return chance == 0 ? .unknownBefore : .unknownAfter
            }
        }
        for index in 0..<15 {
            let machine = try await fixture.create("m-\(index)")
            let id = machine.metadata.id
            let (_, operation) = try await fixture.machines.updateSpec(
                id, requestID: "stop \(index)", kind: .stopMachine
            ) { $0.wanted = .stopped }
            #expect(operation != nil, "seed \(seed)")
            let changed = try await fixture.machines.updateSpec(id) { $0.cpus = 2 }.machine
            #expect(changed.spec.cpus == 2 && changed.metadata.generation == 3, "seed \(seed)")
            let run = try await fixture.repositories.runs.begin(id).run
            #expect(run.generation == 1, "seed \(seed)")
            _ = try await fixture.repositories.runs.markRunning(id, generation: 1) { $0.phase = .running }
            try await fixture.repositories.runs.finish(fixture.node, id, generation: 1)
            let done = try #require(operation)
            try await fixture.repositories.operations.updateStatus(done.metadata.id) { $0.state = .succeeded }
            if index % 3 == 0 { try await fixture.machines.remove(id) }
        }
        store.setFaults { _ in nil }
        #expect(try await fixture.machines.list().items.count == 10, "seed \(seed)")
        #expect(try await fixture.repositories.operations.list().items.count == 30, "seed \(seed)")
        #expect(try await store.keys("node/\(fixture.node)/uid/").count == 10, "seed \(seed)")
    }

    @Test("an outcome that stays unknown is said to be unknown, also when the store then goes away")
    func staysUnknown() async throws {
        let store = MemoryStore()
        let fixture = try await Fixture(store: store)
        store.setFaults { call in if case .write = call { .unknownBefore } else { nil } }
        #expect(await code { _ = try await fixture.create("web") } == .outcomeUnknown)
        let wrote = Mutex(false)
        store.setFaults { call in
            wrote.withLock { wrote in
                if wrote { return .unavailable }
                if case .write = call {
                    wrote = true
                    return .unknownAfter
                }
                return nil
            }
        }
        #expect(await code { _ = try await fixture.create("web") } == .outcomeUnknown)
        store.setFaults { _ in nil }
        #expect(try await fixture.create("web").metadata.name == "web", "the repeat finds the first result")
    }

    @Test("a node's watch sees what is wanted change, and not what was seen")
    func watchNode() async throws {
        let fixture = try await Fixture()
        let first = try await fixture.create("first")
        let changes = fixture.machines.watch(node: fixture.node).makeAsyncIterator()
        guard case .listed(let listing)? = try await changes.next() else {
            Issue.record("the list did not come first")
            return
        }
        #expect(listing.items == [first])
        try await fixture.machines.updateStatus(first.metadata.id) { $0.phase = .running }
        _ = try await fixture.machines.updateSpec(first.metadata.id) { $0.wanted = .stopped }
        guard case .updated(let changed)? = try await changes.next() else {
            Issue.record("no change came")
            return
        }
        #expect(changed.spec.wanted == .stopped && changed.status.phase == .running)
        try await fixture.machines.remove(first.metadata.id)
        guard case .removed(let id)? = try await changes.next() else {
            Issue.record("the removal did not come")
            return
        }
        #expect(id == first.metadata.id)
    }

    @Test("a tenant's watch sees both, lists again after a compaction, and tells what it cannot read")
    func watchTenant() async throws {
        let fixture = try await Fixture()
        let machine = try await fixture.create("web")
        let id = machine.metadata.id
        let changes = fixture.machines.watch(.standard).makeAsyncIterator()
        _ = try await changes.next()
        try await fixture.machines.updateStatus(id) { $0.phase = .running }
        guard case .updated(let seen)? = try await changes.next() else {
            Issue.record("no change came")
            return
        }
        #expect(seen.status.phase == .running)
        try await fixture.machines.updateStatus(id) { $0.phase = .stopped }
        try await fixture.store.compact(try await fixture.store.currentRevision())
        guard case .listed(let again)? = try await changes.next() else {
            Issue.record("it did not list again")
            return
        }
        #expect(again.items.first?.status.phase == .stopped)
        try await fixture.store.put("vm/default/\(id)/spec", "damaged")
        guard case .setAside(id, let aside)? = try await changes.next() else {
            Issue.record("the damage was hidden")
            return
        }
        #expect(aside.reason.contains("cannot be read"))
    }

    @Test("a kernel that is renamed is found by its new name alone, and a taken name is refused")
    func renameKernel() async throws {
        let fixture = try await Fixture()
        let kernels = fixture.repositories.kernels
        var ids: [KernelID] = []
        for name in ["debian", "other"] {
            let made = try await kernels.create(
                .standard, name: name, spec: KernelSpec(source: "debian", isDefault: true), node: fixture.node,
                requestID: name)
            ids.append(made.kernel.metadata.id)
        }
        try await kernels.rename(ids[0], to: "6.1.0-cloud")
        try await kernels.rename(ids[0], to: "6.1.0-cloud")
        #expect(try await kernels.get(.standard, "6.1.0-cloud").metadata.id == ids[0])
        let gone = await #expect(throws: CoveyError.self) { _ = try await kernels.get(.standard, "debian") }
        #expect(gone?.code == .notFound)
        let taken = await #expect(throws: CoveyError.self) { try await kernels.rename(ids[1], to: "6.1.0-cloud") }
        #expect(taken?.code == .conflict)
        #expect(try await kernels.get(ids[1]).metadata.name == "other")
    }

    @Test("one kernel a tenant is the default, whoever sets it at once")
    func defaultKernel() async throws {
        let fixture = try await Fixture()
        let kernels = fixture.repositories.kernels
        var ids: [KernelID] = []
        for index in 0..<4 {
            let spec = KernelSpec(source: "debian", isDefault: index < 2)
            let made = try await kernels.create(
                .standard, name: "6.1.\(index)", spec: spec, node: fixture.node, requestID: "k\(index)")
            ids.append(made.kernel.metadata.id)
        }
        #expect(try await kernels.getDefault(.standard)?.metadata.id == ids[1])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for id in ids { group.addTask { try await kernels.setDefault(id) } }
            try await group.waitForAll()
        }
        let marked = try await kernels.list().items.filter(\.spec.isDefault).map(\.metadata.id)
        let current = try await kernels.getDefault(.standard)?.metadata.id
        #expect(marked.count == 1 && marked.first == current)
        try await kernels.remove(try #require(current))
        #expect(try await kernels.getDefault(.standard) == nil)
    }

    @Test("an image is asked for, seen and removed as a machine is")
    func images() async throws {
        let fixture = try await Fixture()
        let images = fixture.repositories.images
        let spec = ImageSpec(source: .debian(suite: "bookworm"))
        let made = try await images.create(
            .standard, name: "reg.io/team/app:1", spec: spec, node: fixture.node, requestID: "i")
        let id = made.image.metadata.id
        #expect(try await images.get(.standard, "reg.io/team/app:1") == made.image)
        try await images.updateStatus(id) { $0.state = .ready }
        let removal = try await images.requestRemoval(id, node: fixture.node, requestID: "d")
        let again = try await images.requestRemoval(id, node: fixture.node, requestID: "d")
        #expect(removal.image.status.state == .deleting && removal.operation == again.operation)
        try await images.remove(id)
        try await images.remove(id)
        #expect(try await images.list().items.isEmpty)
        #expect(try await fixture.store.keys("name/").isEmpty)
    }

    @Test("a final operation stays final, and cancelling it is a conflict")
    func operations() async throws {
        let fixture = try await Fixture()
        let operations = fixture.repositories.operations
        let made = try await fixture.machines.create(
            .standard, name: "web", spec: MachineSpec(image: "debian"), node: fixture.node, requestID: "r")
        let id = made.operation.metadata.id
        _ = try await fixture.machines.create(
            .standard, name: "db", spec: MachineSpec(image: "debian"), node: fixture.node, requestID: "other")
        let target = made.machine.metadata.id.description
        let unfinished = try await operations.listUnfinished(node: fixture.node, target: target).items
        #expect(unfinished.map(\.metadata.id) == [id])
        #expect(try await operations.requestCancel(id).spec.cancelRequested)
        #expect(try await operations.requestCancel(id).spec.cancelRequested)
        let done = try await operations.updateStatus(id) { $0.state = .cancelled }
        #expect(done.status.finishedAt != nil)
        #expect(await code { try await operations.updateStatus(id) { $0.state = .running } } == .conflict)
        try await operations.updateStatus(id) { $0.state = .cancelled }
        #expect(try await operations.listUnfinished(node: fixture.node, target: target).items.isEmpty)
        let next = try await fixture.machines.updateSpec(made.machine.metadata.id, kind: .startMachine) { _ in }
        let other = try #require(next.operation?.metadata.id)
        try await operations.updateStatus(other) { $0.state = .succeeded }
        #expect(await code { try await operations.requestCancel(other) } == .conflict)
    }

    @Test("finished operations go after a day or beyond the bound, unfinished ones stay")
    func prune() async throws {
        let fixture = try await Fixture()
        let operations = fixture.repositories.operations
        let id = try await fixture.create("web").metadata.id
        func start(_ request: String) async throws -> OperationID {
            let made = try await fixture.machines.updateSpec(id, requestID: request, kind: .startMachine) { _ in }
            return try #require(made.operation).metadata.id
        }
        let old = try await start("old")
        try await operations.updateStatus(old) { $0.state = .failed }
        _ = try await fixture.machines.updateSpec(id, requestID: "plain") { $0.cpus = 2 }
        fixture.time.advance(by: .seconds(25 * 3600))
        let young = try await start("young")
        try await operations.updateStatus(young) { $0.state = .succeeded }
        #expect(try await operations.prune() == 1)
        #expect(await code { _ = try await operations.get(old) } == .notFound)
        #expect(try await operations.get(young).status.state == .succeeded)
        #expect(try await operations.list().items.count == 2, "the creation is not finished")
        #expect(try await fixture.store.keys("request/").count == 2)
        for index in 0..<(Operations.bound + 40) {
            let next = try await start("many \(index)")
            try await operations.updateStatus(next) { $0.state = .succeeded }
        }
        #expect(try await operations.prune() == 41)
        #expect(await code { _ = try await operations.get(young) } == .notFound)
        #expect(try await operations.list().items.count == Operations.bound + 1)
    }

    @Test("a node is registered, changed and listed")
    func nodes() async throws {
        let fixture = try await Fixture()
        let nodes = fixture.repositories.nodes
        let metadata = Metadata<Node>(
            id: fixture.node, name: "host", tenant: "default", createdAt: Timestamp(milliseconds: 5))
        let status = NodeStatus(
            instance: InstanceID(random: 1), architecture: .amd64, kernelRelease: "6.1", cpus: 2,
            memory: .gibibytes(4), version: "0.1.0")
        #expect(await code { _ = try await nodes.get(fixture.node) } == .notFound)
        #expect(await code { try await nodes.updateStatus(fixture.node) { $0.cpus = 1 } } == .notFound)
        let first = try await nodes.register(Node(metadata: metadata, status: status))
        var later = metadata
        later.createdAt = Timestamp(milliseconds: 9)
        let second = try await nodes.register(Node(metadata: later, status: status))
        #expect(second == first)
        try await nodes.updateStatus(fixture.node) { $0.cpus = 64 }
        #expect(try await nodes.get(fixture.node).status.cpus == 64)
        #expect(try await nodes.list().items.count == 1)
    }
}
