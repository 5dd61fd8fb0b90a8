import CoveyModel
import CoveyNode
import CoveyStore
import CoveySystem
import CoveyTesting
import CoveyVMM
import Synchronization
import Testing

extension Rig {
    /// Asks for a volume.
    fileprivate func volume(
        _ name: String = "data", source: Volume? = nil
    ) async throws -> (volume: Volume, operation: CoveyModel.Operation) {
        try await repositories.volumes.create(
            .standard, name: name, spec: VolumeSpec(size: .mebibytes(16), source: source?.metadata.id), node: node,
            requestID: "volume-\(name)")
    }

    /// A volume that is there.
    fileprivate func readyVolume(_ name: String = "data") async throws -> Volume {
        let made = try await volume(name)
        #expect(try await wait(made.operation).status.state == .succeeded)
        return try await repositories.volumes.get(made.volume.metadata.id)
    }

    fileprivate func volumeFiles() throws -> [String] {
        fileExists("\(folder)/volumes") ? try listFolder("\(folder)/volumes") : []
    }
}

extension Volume {
    fileprivate func mount(readOnly: Bool = false) -> VolumeMount {
        VolumeMount(volume: metadata.name, volumeID: metadata.id, path: "/data", readOnly: readOnly)
    }
}

/// Lets the agent die once at a point, and tells when it has.
private func dieOnce(at point: String) -> (faults: FaultPoints, died: AsyncStream<Void>) {
    let armed = Mutex(true)
    let (died, said) = AsyncStream<Void>.makeStream()
    let faults = FaultPoints { name in
        guard name == point, armed.withLock({ $0 }) else { return }
        armed.withLock { $0 = false }
        said.finish()
        throw FaultInjected(point: point)
    }
    return (faults, died)
}

@Suite("Volumes on a node") struct VolumeTests {
    @Test("a volume is made, grown, copied and removed as its record says")
    func life() async throws {
        try await Rig.with { rig in
            try rig.start()
            let volume = try await rig.readyVolume()
            let id = volume.metadata.id
            #expect(volume.status.state == .ready && volume.status.size == .mebibytes(16))
            let growth = try await rig.repositories.volumes.requestGrowth(
                id, to: .mebibytes(32), node: rig.node, requestID: "grow")
            #expect(try await rig.wait(growth.operation).status.state == .succeeded)
            #expect(try await rig.repositories.volumes.get(id).status.size == .mebibytes(32))
            let copy = try await rig.volume("copy", source: volume)
            #expect(try await rig.wait(copy.operation).status.state == .succeeded)
            #expect(try rig.volumeFiles().count == 2)
            for (number, target) in [id, copy.volume.metadata.id].enumerated() {
                let removal = try await rig.repositories.volumes.requestRemoval(
                    target, node: rig.node, requestID: "rm-\(number)")
                #expect(try await rig.wait(removal.operation).status.state == .succeeded)
            }
            #expect(try rig.volumeFiles() == [])
            #expect(try await rig.repositories.volumes.list().items.isEmpty)
        }
    }

    @Test("a machine gets its volumes and its scratch disk as disks of their own, read-only where it may only read")
    func disks() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (first, second) = (try await rig.readyVolume("first"), try await rig.readyVolume("second"))
            var mount = second.mount(readOnly: true)
            mount.path = "/second"
            let mounts = [first.mount(), mount]
            let (machine, created) = try await rig.create("web") { spec in
                spec.volumes = mounts
                spec.scratch = ScratchDisk(size: .mebibytes(16))
            }
            #expect(try await rig.wait(created).status.state == .succeeded)
            let id = machine.metadata.id
            let plan = try #require(rig.host.processes["vm-\(id)-1"]?.plan)
            #expect(plan.disks.map(\.readOnly) == [false, true, false, false, true])
            #expect(plan.disks[2].path == rig.layout.scratch(id))
            #expect(plan.disks[3].serial == "covey-vol-\(first.metadata.id.tail(10))")
            #expect(plan.disks.allSatisfy { $0.serial.utf8.count <= 20 })
            let seen = try await rig.repositories.machines.get(id)
            #expect(seen.status.volumes == [first.metadata.id, second.metadata.id])
            try await rig.want(id, .deleteMachine) { $0.deleting = true }
            try await rig.wait(id, "gone") { $0 == nil }
            #expect(try await rig.leftovers().isEmpty)
            #expect(try rig.volumeFiles().count == 2)
            #expect(try await rig.repositories.volumes.list().items.allSatisfy(\.spec.attachments.isEmpty))
        }
    }

    @Test("a volume that could not be made leaves nothing, and its operation says why")
    func failure() async throws {
        try await Rig.with { rig in
            rig.host.fail("volume", with: CoveyError(.exhausted, "the disk is full"))
            try rig.start()
            let made = try await rig.volume()
            let ended = try await rig.wait(made.operation)
            #expect(ended.status.state == .failed && ended.status.error?.code == .exhausted)
            try await eventually { try await rig.repositories.volumes.list().items.isEmpty }
            #expect(try rig.volumeFiles() == [])
        }
    }

    @Test("a volume that could not grow keeps its size and its content, and its operation says why")
    func failedGrowth() async throws {
        try await Rig.with { rig in
            try rig.start()
            let volume = try await rig.readyVolume()
            rig.host.fail("grow", with: CoveyError(.exhausted, "the disk is full"))
            let growth = try await rig.repositories.volumes.requestGrowth(
                volume.metadata.id, to: .mebibytes(32), node: rig.node, requestID: "grow")
            #expect(try await rig.wait(growth.operation).status.error?.code == .exhausted)
            let now = try await rig.repositories.volumes.get(volume.metadata.id)
            #expect(now.spec.size == .mebibytes(16) && now.status.state == .ready)
            #expect(try rig.volumeFiles().count == 1)
        }
    }

    @Test("a volume that a running machine writes to is not copied; once it has stopped it is")
    func copyInUse() async throws {
        try await Rig.with { rig in
            try rig.start()
            let volume = try await rig.readyVolume()
            let (machine, created) = try await rig.create("web") { $0.volumes = [volume.mount()] }
            _ = try await rig.wait(created)
            let refused = try await rig.volume("copy", source: volume)
            let ended = try await rig.wait(refused.operation)
            #expect(ended.status.error?.code == .conflict)
            #expect(ended.status.error?.remedy == "stop it first: covey vm stop web")
            let stop = try await rig.want(machine.metadata.id, .stopMachine) { $0.wanted = .stopped }
            if let stop { _ = try await rig.wait(stop) }
            let copy = try await rig.volume("copy2", source: volume)
            #expect(try await rig.wait(copy.operation).status.state == .succeeded)
        }
    }

    @Test(
        "an agent killed at any step of a volume's life, and started again, brings it to its end",
        arguments: ["volume.made", "volume.grown", "volume.removed"])
    func killed(_ point: String) async throws {
        try await Rig.with { rig in
            let (faults, died) = dieOnce(at: point)
            try rig.start(faults: faults)
            let made = try await rig.volume()
            let id = made.volume.metadata.id
            if point == "volume.made" {
                for await _ in died {}
                await rig.kill()
                try rig.start()
            }
            #expect(try await rig.wait(made.operation).status.state == .succeeded)
            let growth = try await rig.repositories.volumes.requestGrowth(
                id, to: .mebibytes(32), node: rig.node, requestID: "grow")
            if point == "volume.grown" {
                for await _ in died {}
                await rig.kill()
                try rig.start()
            }
            #expect(try await rig.wait(growth.operation).status.state == .succeeded)
            let removal = try await rig.repositories.volumes.requestRemoval(id, node: rig.node, requestID: "rm")
            if point == "volume.removed" {
                for await _ in died {}
                await rig.kill()
                try rig.start()
            }
            #expect(try await rig.wait(removal.operation).status.state == .succeeded)
            #expect(try rig.volumeFiles() == [])
        }
    }

    @Test("an agent killed between intent and launch starts the machine once, with its volume")
    func killedInStart() async throws {
        try await Rig.with { rig in
            let (faults, died) = dieOnce(at: "start.volumes")
            try rig.start(faults: faults)
            let volume = try await rig.readyVolume()
            let (machine, created) = try await rig.create("web") { $0.volumes = [volume.mount()] }
            for await _ in died {}
            await rig.kill()
            try rig.start()
            #expect(try await rig.wait(created).status.state == .succeeded)
            #expect(rig.host.living(machine.metadata.id).count == 1)
            #expect(rig.host.violations().isEmpty)
        }
    }

    @Test("the content of a volume that no record names is quarantined, and removed on request only")
    func quarantine() async throws {
        try await Rig.with { rig in
            try rig.start()
            let volume = try await rig.readyVolume()
            let id = volume.metadata.id
            await rig.kill()
            try await rig.repositories.volumes.remove(id)
            let agent = try rig.start()
            let leaks = try await agent.leaks()
            #expect(leaks.map(\.id) == ["volume:\(id)"])
            #expect(try rig.volumeFiles().count == 1)
            try await agent.purge("volume:\(id)")
            #expect(try rig.volumeFiles() == [])
        }
    }

    private func eventually(_ holds: @escaping @Sendable () async throws -> Bool) async throws {
        try await withDeadline(.seconds(30), "what is awaited") {
            while try await !holds() { await Task.yield() }
        }
    }
}
