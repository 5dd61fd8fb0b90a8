internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Testing

/// The code that a body fails with; nil where it does not.
private func refusal(_ body: () async throws -> Void) async throws -> ErrorCode? {
    do {
        try await body()
        return nil
    } catch let error as CoveyError {
        return error.code
    }
}

extension Fixture {
    fileprivate var volumes: Volumes { repositories.volumes }

    /// A volume that can be used.
    fileprivate func volume(_ name: String = "data") async throws -> Volume {
        let made = try await volumes.create(
            .standard, name: name, spec: VolumeSpec(size: .mebibytes(64)), node: node, requestID: "volume \(name)")
        return try await volumes.updateStatus(made.volume.metadata.id) { status in
            status.state = .ready
            status.size = .mebibytes(64)
        }
    }

    fileprivate func create(_ name: String, with mounts: [VolumeMount]) async throws -> VirtualMachine {
        var spec = MachineSpec(image: "debian")
        spec.volumes = mounts
        return try await machines.create(
            .standard, name: name, spec: spec, node: node, requestID: "create \(name)"
        ).machine
    }

    fileprivate func attach(_ volume: Volume, _ machine: VirtualMachine, readOnly: Bool = false) async throws {
        _ = try await volumes.attach(
            volume.metadata.id, to: machine.metadata.id,
            as: VolumeMount(volume: volume.metadata.name, path: "/data", readOnly: readOnly))
    }
}

extension Volume {
    fileprivate func mount(_ path: String = "/data", readOnly: Bool = false) -> VolumeMount {
        VolumeMount(volume: metadata.name, volumeID: metadata.id, path: path, readOnly: readOnly)
    }
}

@Suite("Volumes")
struct VolumesTests {
    @Test("one machine writes to a volume or many read it, whichever way they come to it")
    func exclusive() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let (one, two) = (try await fixture.create("one"), try await fixture.create("two"))
        try await fixture.attach(volume, one)
        try await fixture.attach(volume, one)
        #expect(try await refusal { try await fixture.attach(volume, two) } == .conflict)
        #expect(try await refusal { try await fixture.attach(volume, two, readOnly: true) } == .conflict)
        #expect(try await refusal { _ = try await fixture.create("three", with: [volume.mount()]) } == .conflict)
        #expect(try await refusal { try await fixture.attach(volume, one, readOnly: true) } == .conflict)
        _ = try await fixture.volumes.detach(volume.metadata.id, from: one.metadata.id, requestID: "d1")
        _ = try await fixture.volumes.detach(volume.metadata.id, from: one.metadata.id, requestID: "d1")
        try await fixture.attach(volume, one, readOnly: true)
        try await fixture.attach(volume, two, readOnly: true)
        let three = try await fixture.create("three", with: [volume.mount(readOnly: true)])
        #expect(try await refusal { _ = try await fixture.create("four", with: [volume.mount()]) } == .conflict)
        let users = try await fixture.volumes.get(volume.metadata.id).spec.attachments
        #expect(users.map(\.name) == ["one", "two", "three"] && users.allSatisfy(\.readOnly))
        #expect(try await fixture.machines.get(three.metadata.id).spec.volumes.map(\.volumeID) == [volume.metadata.id])
    }

    @Test("of many machines that want to write at the same moment, one has the volume, and both sides say so")
    func race() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        var machines: [VirtualMachine] = []
        for number in 0..<6 { machines.append(try await fixture.create("vm-\(number)")) }
        let won = await withTaskGroup(of: Bool.self) { group in
            for machine in machines {
                group.addTask { (try? await fixture.attach(volume, machine)) != nil }
            }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(won == 1)
        try await expectAgreement(fixture, volume.metadata.id)
    }

    @Test("whatever is attached, detached, made and removed at the same time, no volume has two writers")
    func random() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let id = volume.metadata.id
        await withTaskGroup { group in
            for worker in 0..<4 {
                group.addTask {
                    var random = SeededGenerator(seed: UInt64(worker))
                    for step in 0..<25 {
                        // Each may lose against the others; what counts is what the store says then.
                        let readOnly = Bool.random(using: &random)
                        guard
                            let machine = try? await fixture.create(
                                "vm-\(worker)-\(step)", with: step % 3 == 0 ? [volume.mount(readOnly: readOnly)] : [])
                        else { continue }
                        _ = try? await fixture.attach(volume, machine, readOnly: readOnly)
                        if Bool.random(using: &random) {
                            _ = try? await fixture.volumes.detach(
                                id, from: machine.metadata.id, requestID: "d-\(worker)-\(step)")
                        }
                        if Bool.random(using: &random) { try? await fixture.machines.remove(machine.metadata.id) }
                    }
                }
            }
        }
        try await expectAgreement(fixture, id)
    }

    private func expectAgreement(_ fixture: Fixture, _ id: VolumeID) async throws {
        let users = try await fixture.volumes.get(id).spec.attachments
        #expect(users.count == 1 || users.allSatisfy(\.readOnly))
        let machines = try await fixture.machines.list().items
            .filter { $0.spec.volumes.contains { $0.volumeID == id } }.map(\.metadata.id)
        #expect(Set(machines) == Set(users.map(\.machine)))
        #expect(machines.count == users.count)
    }

    @Test("a machine that is gone has no volume, and one that is repeated has the one of its first request")
    func machineLife() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let first = try await fixture.create("web", with: [volume.mount()])
        let again = try await fixture.create("web", with: [volume.mount()])
        #expect(again.metadata.id == first.metadata.id)
        try await fixture.machines.remove(first.metadata.id)
        #expect(try await fixture.volumes.get(volume.metadata.id).spec.attachments.isEmpty)
        #expect(try await fixture.create("other", with: [volume.mount()]).spec.volumes.count == 1)
    }

    @Test("a volume that a machine has is not deleted, and one that is being deleted nobody gets")
    func deletion() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let id = volume.metadata.id
        let machine = try await fixture.create("web", with: [volume.mount()])
        do {
            _ = try await fixture.volumes.requestRemoval(id, node: fixture.node, requestID: "rm")
            Issue.record("it was deleted")
        } catch let error as CoveyError {
            #expect(error.code == .conflict)
            #expect(error.remedy?.contains("covey volume detach data web") == true)
        }
        try await fixture.machines.remove(machine.metadata.id)
        let removal = try await fixture.volumes.requestRemoval(id, node: fixture.node, requestID: "rm")
        #expect(removal.volume.spec.deleting)
        let again = try await fixture.volumes.requestRemoval(id, node: fixture.node, requestID: "rm")
        #expect(again.operation.metadata.id == removal.operation.metadata.id)
        let other = try await fixture.create("other")
        #expect(try await refusal { try await fixture.attach(volume, other) } == .conflict)
        try await fixture.volumes.remove(id)
        #expect(try await refusal { _ = try await fixture.volumes.get(id) } == .notFound)
        #expect(try await fixture.store.keys("volume/").isEmpty)
    }

    @Test("what a run has open is not detached, and what it has not yet seen is")
    func detaching() async throws {
        let fixture = try await Fixture()
        let (used, late) = (try await fixture.volume("used"), try await fixture.volume("late"))
        let machine = try await fixture.create("web", with: [used.mount()])
        try await fixture.machines.updateStatus(machine.metadata.id) { status in
            status.phase = .running
            status.volumes = [used.metadata.id]
        }
        _ = try await fixture.volumes.attach(late.metadata.id, to: machine.metadata.id, as: late.mount("/late"))
        #expect(
            try await refusal {
                _ = try await fixture.volumes.detach(used.metadata.id, from: machine.metadata.id, requestID: "1")
            } == .conflict)
        _ = try await fixture.volumes.detach(late.metadata.id, from: machine.metadata.id, requestID: "2")
        #expect(
            try await refusal {
                _ = try await fixture.volumes.detach(late.metadata.id, from: machine.metadata.id, requestID: "3")
            } == .notFound)
        for phase in [MachinePhase.preparing, .starting, .stopping, .unknown] {
            try await fixture.machines.updateStatus(machine.metadata.id) { $0.phase = phase }
            #expect(
                try await refusal {
                    _ = try await fixture.volumes.detach(
                        used.metadata.id, from: machine.metadata.id, requestID: "\(phase)")
                } == .conflict)
        }
        try await fixture.machines.updateStatus(machine.metadata.id) { $0.phase = .stopped }
        _ = try await fixture.volumes.detach(used.metadata.id, from: machine.metadata.id, requestID: "4")
    }

    @Test("a volume grows and does not shrink; one that is not ready or on another node is not attached")
    func states() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let id = volume.metadata.id
        let grown = try await fixture.volumes.requestGrowth(
            id, to: .mebibytes(128), node: fixture.node, requestID: "grow")
        #expect(grown.volume.spec.size == .mebibytes(128) && grown.operation.spec.kind == .resizeVolume)
        #expect(
            try await refusal {
                _ = try await fixture.volumes.requestGrowth(
                    id, to: .mebibytes(100), node: fixture.node, requestID: "shrink")
            } == .invalid)
        try await fixture.volumes.settleSize(id)
        #expect(try await fixture.volumes.get(id).spec.size == .mebibytes(64))
        let machine = try await fixture.create("web")
        try await fixture.volumes.updateStatus(id) { $0.state = .building }
        #expect(try await refusal { try await fixture.attach(volume, machine) } == .conflict)
        try await fixture.volumes.updateStatus(id) { status in
            status.state = .ready
            status.node = NodeID(high: 9, low: 9)
        }
        #expect(try await refusal { try await fixture.attach(volume, machine) } == .conflict)
    }

    @Test("a machine has room for so many volumes, and one path for each")
    func room() async throws {
        let fixture = try await Fixture()
        let machine = try await fixture.create("web")
        for number in 0..<Volumes.limit {
            let volume = try await fixture.volume("v\(number)")
            _ = try await fixture.volumes.attach(
                volume.metadata.id, to: machine.metadata.id, as: volume.mount("/v\(number)"))
        }
        let more = try await fixture.volume("more")
        #expect(
            try await refusal {
                _ = try await fixture.volumes.attach(more.metadata.id, to: machine.metadata.id, as: more.mount("/more"))
            } == .exhausted)
        #expect(
            try await refusal {
                _ = try await fixture.volumes.attach(more.metadata.id, to: machine.metadata.id, as: more.mount("/v1"))
            } == .conflict)
    }

    @Test("a machine without volumes has the record of programs that knew none, also when it had one before")
    func oldRecords() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let machine = try await fixture.create("web")
        let key: StoreKey = "vm/default/\(machine.metadata.id)/spec"
        #expect(try await !fixture.store.text(key).contains("volumes"))
        try await fixture.attach(volume, machine)
        #expect(try await fixture.store.text(key).contains("volumes"))
        _ = try await fixture.volumes.detach(volume.metadata.id, from: machine.metadata.id, requestID: "d")
        #expect(try await !fixture.store.text(key).contains("volumes"))
    }
}
