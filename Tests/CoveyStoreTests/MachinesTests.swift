internal import CoveyModel
internal import CoveyStore
internal import Testing

@Suite("Machines", .timeLimit(.minutes(1)))
struct MachinesTests {
    @Test("creating stores the machine, its operation and all its keys in one transaction")
    func create() async throws {
        let fixture = try await Fixture()
        let before = try await fixture.store.currentRevision()
        let made = try await fixture.machines.create(
            .standard, name: "web", labels: ["a": "b"], spec: MachineSpec(image: "debian"), node: fixture.node,
            requestID: "r1")
        #expect(try await fixture.store.currentRevision() == before.next)
        #expect(made.machine.metadata.revision == before.next.number)
        #expect(made.machine.status.node == fixture.node)
        #expect(made.operation.spec.targetID == made.machine.metadata.id.description)
        #expect(try await fixture.machines.get(made.machine.metadata.id) == made.machine)
        #expect(try await fixture.repositories.operations.get(made.operation.metadata.id) == made.operation)
        #expect(try await fixture.machines.uidSlot(made.machine.metadata.id) == 0)
        #expect(try await fixture.machines.list(node: fixture.node).items == [made.machine])
        #expect(try await fixture.machines.list(labels: ["a": "b"]).items == [made.machine])
        #expect(try await fixture.machines.list(labels: ["a": "c"]).items.isEmpty)
        #expect(try await fixture.machines.list(try Tenant("other")).items.isEmpty)
    }

    @Test("a name is taken once in a tenant, and a bad one is refused")
    func names() async throws {
        let fixture = try await Fixture()
        _ = try await fixture.create("web")
        let error = await #expect(throws: CoveyError.self) { try await fixture.create("web", request: "another") }
        #expect(error?.code == .conflict && error?.remedy != nil)
        #expect(await code { _ = try await fixture.create("No label") } == .invalid)
        let other = try await fixture.machines.create(
            try Tenant("other"), name: "web", spec: MachineSpec(image: "debian"), node: fixture.node, requestID: "r")
        #expect(other.machine.metadata.tenant == "other")
        #expect(try await fixture.machines.list().items.count == 2)
    }

    @Test("a repeated request returns the first result, another content under its id is a conflict")
    func repeats() async throws {
        let fixture = try await Fixture()
        let first = try await fixture.machines.create(
            .standard, name: "web", spec: MachineSpec(image: "debian"), node: fixture.node, requestID: "r")
        var resolved = MachineSpec(image: "debian")
        resolved.imageID = ImageID(high: 1, low: 1)
        let again = try await fixture.machines.create(
            .standard, name: "web", spec: resolved, node: fixture.node, requestID: "r")
        #expect(again.machine == first.machine && again.operation == first.operation)
        #expect(
            await code {
                _ = try await fixture.machines.create(
                    .standard, name: "web", spec: MachineSpec(image: "alpine"), node: fixture.node, requestID: "r")
            } == .conflict)
        let id = first.machine.metadata.id
        let stop = try await fixture.machines.updateSpec(id, requestID: "s", kind: .stopMachine) {
            $0.wanted = .stopped
        }
        let stopAgain = try await fixture.machines.updateSpec(id, requestID: "s", kind: .stopMachine) {
            $0.wanted = .stopped
        }
        #expect(stopAgain.operation == stop.operation)
        #expect(stopAgain.machine.metadata.generation == 2)
        #expect(
            await code { _ = try await fixture.machines.updateSpec(id, requestID: "s", kind: .startMachine) { _ in } }
                == .conflict)
        #expect(await code { _ = try await fixture.create("x", request: "s") } == .conflict)
        try await fixture.machines.remove(id)
        #expect(await code { _ = try await fixture.create("web", request: "r") } == .conflict)
    }

    @Test("a machine is found by name, id, and the beginning or end of an id in its own tenant")
    func resolve() async throws {
        let fixture = try await Fixture()
        let machine = try await fixture.create("web")
        let other = try await fixture.create("db")
        let id = machine.metadata.id
        for reference in ["web", id.description, id.tail(12), id.tail(12).uppercased()] {
            #expect(try await fixture.machines.get(.standard, reference).metadata.id == id, "\(reference)")
        }
        let common = zip(id.description, other.metadata.id.description).prefix { $0 == $1 }.map { String($0.0) }
        #expect(common.count >= 8)
        #expect(await code { _ = try await fixture.machines.get(.standard, common.joined()) } == .conflict)
        #expect(await code { _ = try await fixture.machines.get(.standard, "none") } == .notFound)
        #expect(await code { _ = try await fixture.machines.get(Tenant("other"), "web") } == .notFound)
        #expect(await code { _ = try await fixture.machines.get(Tenant("other"), id.description) } == .notFound)
    }

    @Test("changing what is wanted compares the revision, raises the generation and rewrites the binding")
    func updateSpec() async throws {
        let fixture = try await Fixture()
        let machine = try await fixture.create("web")
        let id = machine.metadata.id
        let seen = Revision(machine.metadata.revision)
        let binding = StoreKey("node/\(fixture.node)/vm/\(id)")
        let before = try await fixture.store.text(binding)
        let (changed, operation) = try await fixture.machines.updateSpec(id, expected: seen) { $0.cpus = 4 }
        #expect(operation == nil)
        #expect(changed.spec.cpus == 4 && changed.metadata.generation == 2)
        #expect(try await fixture.machines.get(id) == changed)
        #expect(try await fixture.store.text(binding) != before)
        #expect(try await fixture.store.get(binding)?.modRevision == Revision(changed.metadata.revision))
        #expect(
            await code { _ = try await fixture.machines.updateSpec(id, expected: seen) { $0.cpus = 8 } } == .conflict)
        let revision = try await fixture.store.currentRevision()
        _ = try await fixture.machines.updateSpec(id) { $0.cpus = 4 }
        #expect(try await fixture.store.currentRevision() == revision, "no change writes nothing")
        struct Refusal: Error {}
        await #expect(throws: Refusal.self) { try await fixture.machines.updateSpec(id) { _ in throw Refusal() } }
    }

    @Test("a status disturbs nobody who compares the spec's revision")
    func updateStatus() async throws {
        let fixture = try await Fixture()
        let machine = try await fixture.create("web")
        let id = machine.metadata.id
        let seen = try await fixture.machines.updateStatus(id) { $0.phase = .running }
        #expect(seen.status.phase == .running)
        #expect(try await fixture.machines.get(id).metadata.revision == machine.metadata.revision)
        let revision = try await fixture.store.currentRevision()
        try await fixture.machines.updateStatus(id) { $0.phase = .running }
        #expect(try await fixture.store.currentRevision() == revision, "no change writes nothing")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<20 { group.addTask { try await fixture.machines.updateStatus(id) { $0.restarts += 1 } } }
            try await group.waitForAll()
        }
        #expect(try await fixture.machines.get(id).status.restarts == 20)
    }

    @Test("removing takes every key of a machine but its operations, and again is no error")
    func remove() async throws {
        let fixture = try await Fixture()
        let before = try await fixture.store.keys("")
        let machine = try await fixture.create("web")
        let id = machine.metadata.id
        let run = try await fixture.repositories.runs.begin(id).run
        #expect(await code { try await fixture.machines.remove(id) } == .conflict)
        try await fixture.repositories.runs.finish(fixture.node, id, generation: run.generation)
        try await fixture.machines.remove(id)
        try await fixture.machines.remove(id)
        let left = Set(try await fixture.store.keys("")).subtracting(before)
        #expect(
            left.allSatisfy { $0.contains("operation") || $0.hasPrefix("event/") || $0.hasPrefix("request/") },
            "\(left)")
        #expect(await code { _ = try await fixture.machines.get(id) } == .notFound)
        let next = try await fixture.create("web", request: "next")
        #expect(try await fixture.machines.uidSlot(next.metadata.id) == 1, "a uid is not given again at once")
    }

    @Test("a run is stored as an intent before it, raised in the status, and never begun twice")
    func runs() async throws {
        let fixture = try await Fixture()
        let (machines, runs) = (fixture.machines, fixture.repositories.runs)
        let machine = try await fixture.create("web")
        let id = machine.metadata.id
        #expect(await code { _ = try await runs.begin(id, expected: Revision(1)) } == .conflict)
        let (begun, run) = try await runs.begin(id, expected: Revision(machine.metadata.revision))
        #expect(begun.status.runGeneration == 1 && run.generation == 1 && run.state == .launching)
        #expect(await code { _ = try await runs.begin(id) } == .conflict)
        let running = try await runs.markRunning(id, generation: 1) { $0.phase = .running }
        #expect(running.status.phase == .running)
        #expect(try await runs.list(fixture.node).items.map(\.state) == [.running])
        #expect(await code { try await runs.forget(fixture.node, id, generation: 1) } == .conflict)
        try await runs.finish(fixture.node, id, generation: 1)
        try await runs.finish(fixture.node, id, generation: 1)
        #expect(await code { _ = try await runs.markRunning(id, generation: 1) { _ in } } == .conflict)
        #expect(try await runs.begin(id).run.generation == 2)
        try await runs.forget(fixture.node, id, generation: 1)
        try await runs.forget(fixture.node, id, generation: 1)
        #expect(try await runs.list(fixture.node).items.map(\.generation) == [2])
        #expect(try await machines.get(id).status.runGeneration == 2)
    }

    @Test("concurrent creations get different slots, and one name goes to one of them")
    func concurrent() async throws {
        let fixture = try await Fixture()
        let results = await withTaskGroup(of: VirtualMachine?.self) { group in
            for index in 0..<120 {
                // Every fourth name is asked for by ten callers.
                let name = index % 4 == 0 ? "shared-\(index % 12)" : "own-\(index)"
                group.addTask { try? await fixture.create(name, request: "create \(index)") }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        let made = results.compactMap { $0 }
        #expect(made.count == 90 + 3)
        #expect(Set(made.map(\.metadata.name)).count == made.count)
        var slots: Set<Int> = []
        for machine in made { slots.insert(try await fixture.machines.uidSlot(machine.metadata.id)) }
        #expect(slots.count == made.count)
        #expect(try await fixture.machines.list(node: fixture.node).items.count == made.count)
        #expect(try await fixture.repositories.operations.list().items.count == made.count)
    }
}
