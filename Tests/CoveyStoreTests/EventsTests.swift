internal import CoveyModel
internal import Testing

@testable internal import CoveyStore

@Suite("Events")
struct EventsTests {
    private func reasons(_ fixture: Fixture) async throws -> [EventReason] {
        try await fixture.repositories.events.list(.standard).items.map(\.reason)
    }

    @Test("a machine's life is told with the changes that make it, in their order")
    func life() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.create("web").metadata.id
        for phase in [MachinePhase.scheduled, .preparing, .starting, .running] {
            try await fixture.machines.updateStatus(id) { $0.phase = phase }
        }
        let now = fixture.time.now()
        try await fixture.machines.updateStatus(id) { status in
            status.conditions.set(
                Condition(type: "Ready", state: .yes, reason: "Started", message: "ready", since: now))
        }
        try await fixture.machines.updateStatus(id) { status in
            status.phase = .stopping
            status.lastEnd = .programExited
            status.exitCode = 3
            status.endedAt = now
        }
        #expect(try await reasons(fixture) == [.created, .scheduled, .started, .ready, .stopped])
        let last = try #require(try await fixture.repositories.events.list(.standard).items.last)
        #expect(last.message == "its program ended with code 3")
        #expect(last.target == ResourceReference("vm", "web") && last.targetID == id.description)
        try await fixture.machines.remove(id)
        #expect(try await reasons(fixture).last == .deleted)
        // What is not changed tells nothing, and another tenant hears nothing.
        #expect(try await fixture.repositories.events.list(try Tenant("team")).items.isEmpty)
    }

    @Test("what flaps is one event with a count, its first and its last time")
    func flapping() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.create("web").metadata.id
        for round in 1...50 {
            let now = fixture.time.now()
            try await fixture.machines.updateStatus(id) { status in
                status.restarts = round
                status.lastEnd = .crashed
                status.lastError = CoveyError(.failure, "panic \(round)")
                status.endedAt = now
            }
        }
        let events = try await fixture.repositories.events.list(.standard).items
        #expect(events.count == 3)
        let crash = try #require(events.first { $0.reason == .crashed })
        #expect(crash.count == 50 && crash.message == "panic 50" && crash.firstSeen < crash.lastSeen)
        #expect(crash.isWarning)
        #expect(events.first { $0.reason == .restarting }?.message == "restart 50 after the guest crashed")
    }

    @Test("a failed operation, a node's condition and an image tell of themselves")
    func others() async throws {
        let fixture = try await Fixture()
        let made = try await fixture.machines.create(
            .standard, name: "web", spec: MachineSpec(image: "debian"), node: fixture.node, requestID: "r1")
        try await fixture.repositories.operations.updateStatus(made.operation.metadata.id) { status in
            status.state = .failed
            status.error = CoveyError(.exhausted, "the disk is full")
        }
        let image = try await fixture.repositories.images.create(
            .standard, name: "debian", spec: ImageSpec(source: .debian(suite: "bookworm")), node: fixture.node,
            requestID: "r2"
        ).image
        try await fixture.repositories.images.updateStatus(image.metadata.id) { $0.state = .ready }
        let events = try await fixture.repositories.events.list(.standard).items
        #expect(events.map(\.reason) == [.created, .operationFailed, .imageReady])
        #expect(events[1].message == "createMachine failed: the disk is full")
        #expect(events[1].target == ResourceReference("vm", "web"))
    }

    @Test("events go 24 hours after their last time, and beyond their bound; one that cannot be read stays")
    func pruning() async throws {
        let fixture = try await Fixture()
        _ = try await fixture.create("old")
        try await fixture.store.put("event/default/00000000-0000-0000-0000-000000000001", "no record")
        fixture.time.advance(by: .seconds(23 * 3600))
        _ = try await fixture.create("new")
        #expect(try await fixture.repositories.events.prune() == 0)
        fixture.time.advance(by: .seconds(2 * 3600))
        #expect(try await fixture.repositories.events.prune() == 1)
        let listing = try await fixture.repositories.events.list(.standard)
        #expect(listing.items.map(\.target.name) == ["new"])
        #expect(listing.setAside.count == 1)
    }

    @Test("a watch tells what is there, then each event and each repetition")
    func watching() async throws {
        let fixture = try await Fixture()
        let machine = try await fixture.create("web")
        let changes = fixture.repositories.events.watch(.standard).makeAsyncIterator()
        guard case .listed(let listing) = try await changes.next() else {
            Issue.record("the watch does not begin with a listing")
            return
        }
        #expect(listing.items.map(\.reason) == [.created])
        for count in [Int64(1), 2] {
            try await fixture.repositories.events.tell(
                Happening(.egressDenied, "to 1.2.3.4"), about: ResourceReference("vm", "web"),
                machine.metadata.id.description, .standard)
            guard case .updated(let event) = try await changes.next() else {
                Issue.record("the watch tells no event")
                return
            }
            #expect(event.reason == .egressDenied && event.count == count)
        }
    }
}
