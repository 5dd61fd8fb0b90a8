import CoveyGuestProtocol
import CoveyModel
import CoveyNode
import CoveyStore
import CoveySystem
import CoveyTesting
import Synchronization
import Testing

/// Lets the agent die once at a point.
private func dieOnce(at point: String, _ reached: @escaping @Sendable () -> Void) -> FaultPoints {
    let armed = Mutex(true)
    return FaultPoints { name in
        guard name == point, armed.withLock({ $0 }) else { return }
        armed.withLock { $0 = false }
        reached()
        throw FaultInjected(point: point)
    }
}

@Suite struct AdoptionTests {
    @Test("machines outlive the agent and are taken over without having been interrupted")
    func adopt() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("web")
            _ = try await rig.wait(created)
            let before = rig.host.ledger
            for _ in 0..<3 {
                await rig.kill()
                #expect(rig.host.living(machine.metadata.id).count == 1)
                try rig.start()
                try await rig.wait(machine.metadata.id, "running") { $0?.status.phase == .running }
            }
            #expect(rig.host.ledger == before)
        }
    }

    @Test("a VMM that died while no agent looked is cleaned up, and restarted by its policy")
    func diedMeanwhile() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (never, first) = try await rig.create("never")
            let (always, second) = try await rig.create("always") { $0.restart = .always }
            _ = try await rig.wait(first)
            _ = try await rig.wait(second)
            await rig.kill()
            rig.host.terminate("vm-\(never.metadata.id)-1")
            rig.host.terminate("vm-\(always.metadata.id)-1")
            try rig.start()
            let failed = try await rig.wait(never.metadata.id, "failed") { $0?.status.phase == .failed }
            #expect(failed?.status.lastEnd == .vmmDied)
            try await rig.wait(always.metadata.id, "second run") {
                $0?.status.phase == .running && $0?.status.runGeneration == 2
            }
            #expect(rig.host.violations().isEmpty)
        }
    }

    @Test("a program that ended while no agent looked keeps its code, and --rm is carried out")
    func programEndedMeanwhile() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("job") { $0.removeWhenStopped = true }
            _ = try await rig.wait(created)
            await rig.kill()
            rig.host.finishProgram("vm-\(machine.metadata.id)-1", .exited(3))
            try rig.start()
            try await rig.wait(machine.metadata.id, "gone") { $0 == nil }
            #expect(try await rig.leftovers().isEmpty)
        }
    }

    @Test("a frozen VMM is left running and said to be unresponsive, and is taken over when it answers")
    func frozen() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("stuck")
            let id = machine.metadata.id
            _ = try await rig.wait(created)
            await rig.kill()
            rig.host.freeze("vm-\(id)-1")
            let agent = try rig.start()
            let seen = try await rig.wait(id, "unknown") { $0?.status.phase == .unknown }
            #expect(seen?.status.conditions.first { $0.type == "Handle" }?.reason == "VMMUnresponsive")
            #expect(rig.host.living(id).count == 1)
            rig.host.freeze("vm-\(id)-1", false)
            agent.lookAtAll()
            try await rig.wait(id, "running") { $0?.status.phase == .running }
            #expect(rig.host.violations().isEmpty)
        }
    }

    @Test("a handle that cannot be read is set aside: the machine is left running, listed, and ended on request")
    func unreadableHandle() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("web")
            let id = machine.metadata.id
            _ = try await rig.wait(created)
            await rig.kill()
            try writeFileAtomically(rig.layout.handle(id), Array("{garbage".utf8))
            let agent = try rig.start()
            let seen = try await rig.wait(id, "unknown") { $0?.status.phase == .unknown }
            #expect(seen?.status.conditions.first { $0.type == "Handle" }?.reason == "HandleUnreadable")
            #expect(rig.host.living(id).count == 1)
            #expect(try await agent.leaks().map(\.kind) == ["handle"])
            try await rig.want(id, .deleteMachine) { $0.deleting = true }
            try await rig.wait(id, "gone") { $0 == nil }
            #expect(try await rig.leftovers().isEmpty)
        }
    }

    @Test("what no record names is quarantined: left running, listed, and removed only on request")
    func quarantine() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("lost")
            let id = machine.metadata.id
            _ = try await rig.wait(created)
            await rig.kill()
            try await rig.forgetRecords(of: id)
            let agent = try rig.start()
            let (_, other) = try await rig.create("other")
            _ = try await rig.wait(other)
            #expect(rig.host.living(id).count == 1)
            let leaks = try await agent.leaks()
            #expect(leaks.contains { $0.kind == "process" })
            #expect(leaks.contains { $0.id == "folder:\(id)" })
            for leak in leaks { try await agent.purge(leak.id) }
            #expect(try await agent.leaks().isEmpty)
            #expect(rig.host.living(id).isEmpty)
        }
    }
}

@Suite struct KillAtEveryStepTests {
    static let startPoints = [
        "start.image", "start.disk", "start.intent", "start.volumes", "start.network", "start.folders",
        "start.launched", "start.handle",
        "start.recorded", "start.resumed",
    ]

    @Test(
        "an agent killed at any step of a start, and started again, brings the machine up once", arguments: startPoints)
    func start(point: String) async throws {
        try await Rig.with { rig in
            let (reached, died) = AsyncStream<Void>.makeStream()
            try rig.start(faults: dieOnce(at: point) { died.finish() })
            let (machine, created) = try await rig.create("web")
            for await _ in reached {}
            await rig.kill()
            try rig.start()
            #expect(try await rig.wait(created).status.state == .succeeded)
            let seen = try await rig.wait(machine.metadata.id, "running") { $0?.status.phase == .running }
            #expect(rig.host.living(machine.metadata.id).count == 1)
            #expect(rig.host.violations().isEmpty)
            #expect(seen?.status.restarts == 0)
            try await rig.want(machine.metadata.id, .deleteMachine) { $0.deleting = true }
            try await rig.wait(machine.metadata.id, "gone") { $0 == nil }
            #expect(try await rig.leftovers().isEmpty)
        }
    }

    @Test(
        "an agent killed at any step of a deletion, and started again, leaves nothing",
        arguments: [
            "delete.recorded", "clean.destroyed", "clean.network", "clean.files", "delete.cleaned", "delete.disk",
            "delete.folder",
            "delete.removed",
        ])
    func delete(point: String) async throws {
        try await Rig.with { rig in
            let (reached, died) = AsyncStream<Void>.makeStream()
            try rig.start(faults: dieOnce(at: point) { died.finish() })
            let (machine, created) = try await rig.create("web")
            _ = try await rig.wait(created)
            guard let delete = try await rig.want(machine.metadata.id, .deleteMachine, { $0.deleting = true }) else {
                return
            }
            for await _ in reached {}
            await rig.kill()
            try rig.start()
            #expect(try await rig.wait(delete).status.state == .succeeded)
            try await rig.wait(machine.metadata.id, "gone") { $0 == nil }
            #expect(try await rig.leftovers().isEmpty)
        }
    }

    @Test(
        "an agent killed at any step of a stop, and started again, stops the machine and keeps it stopped",
        arguments: ["stop.recorded", "end.recorded", "clean.destroyed", "clean.network", "clean.files", "end.cleaned"])
    func stop(point: String) async throws {
        try await Rig.with { rig in
            let (reached, died) = AsyncStream<Void>.makeStream()
            try rig.start(faults: dieOnce(at: point) { died.finish() })
            let (machine, created) = try await rig.create("web") { $0.restart = .always }
            _ = try await rig.wait(created)
            guard let stop = try await rig.want(machine.metadata.id, .stopMachine, { $0.wanted = .stopped }) else {
                return
            }
            for await _ in reached {}
            await rig.kill()
            try rig.start()
            #expect(try await rig.wait(stop).status.state == .succeeded)
            let seen = try await rig.wait(machine.metadata.id, "stopped") { $0?.status.phase == .stopped }
            #expect(seen?.status.lastEnd == .stopped)
            #expect(rig.host.processes.isEmpty)
            #expect(rig.host.violations().isEmpty)
        }
    }

    @Test(
        "an agent killed while a program's end is taken in keeps the code",
        arguments: [
            "run.programEnded", "end.recorded", "clean.destroyed", "clean.network", "clean.files", "end.cleaned",
        ])
    func programEnd(point: String) async throws {
        try await Rig.with { rig in
            let (reached, died) = AsyncStream<Void>.makeStream()
            try rig.start(faults: dieOnce(at: point) { died.finish() })
            let (machine, _) = try await rig.create("job", program: ["exit", "5"])
            for await _ in reached {}
            await rig.kill()
            try rig.start()
            let seen = try await rig.wait(machine.metadata.id, "stopped") { $0?.status.phase == .stopped }
            #expect(seen?.status.exitCode == 5)
            #expect(seen?.status.lastEnd == .programExited)
            #expect(rig.host.violations().isEmpty)
        }
    }

    @Test("agents killed at random instants during twenty creations and deletions converge, and nothing runs twice")
    func random() async throws {
        try await Rig.with { rig in
            try rig.start()
            var generator = SystemRandomNumberGenerator()
            var machines: [MachineID] = []
            for number in 0..<20 {
                machines.append(try await rig.create("m\(number)").machine.metadata.id)
                if number % 2 == 1, let victim = machines.randomElement(using: &generator) {
                    _ = try? await rig.want(victim, .deleteMachine) { $0.deleting = true }
                }
                if number % 4 == 3 {
                    for _ in 0..<Int.random(in: 0..<200, using: &generator) { await Task.yield() }
                    await rig.kill()
                    try rig.start()
                }
            }
            for id in machines {
                try await rig.wait(id, "running or gone") { $0 == nil || $0?.status.phase == .running }
            }
            #expect(rig.host.violations().isEmpty)
            for id in machines {
                let record = try? await rig.repositories.machines.get(id)
                #expect(rig.host.living(id).count == (record == nil ? 0 : 1))
                if record != nil { try await rig.want(id, .deleteMachine) { $0.deleting = true } }
            }
            for id in machines { try await rig.wait(id, "gone") { $0 == nil } }
            #expect(try await rig.leftovers().isEmpty)
        }
    }
}
