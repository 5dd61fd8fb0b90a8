import CoveyGuestProtocol
import CoveyModel
import CoveyNode
import CoveyStore
import CoveySystem
import CoveyTesting
import Testing

@Suite struct MachineLifeTests {
    @Test("a machine that is wanted comes to run and its operation succeeds when the guest is ready")
    func create() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, operation) = try await rig.create("web")
            let done = try await rig.wait(operation)
            #expect(done.status.state == .succeeded)
            let seen = try await rig.repositories.machines.get(machine.metadata.id)
            #expect(seen.status.phase == .running)
            #expect(seen.status.runGeneration == 1)
            #expect(seen.status.pid != nil)
            #expect(
                seen.status.timeline.map(\.stage) == ["image", "disk", "network", "vmm", "kernel", "agent", "ready"])
            #expect(rig.host.living(machine.metadata.id).count == 1)
            #expect(rig.host.violations().isEmpty)
        }
    }

    @Test("a program's end stops the machine and keeps the code and the output")
    func programEnds() async throws {
        try await Rig.with { rig in
            let agent = try rig.start()
            let (machine, _) = try await rig.create("job", program: ["say", "hello"])
            let follower = try await agent.channel(machine.metadata.id, mainExecID).follow(attached: true)
            var said: [UInt8] = []
            var code: Int32?
            while let entries = try await follower.next() {
                for entry in entries {
                    if case .output(let bytes) = entry.content { said += bytes }
                    if case .exit(let exit) = entry.content { code = exit }
                }
            }
            #expect(String(decoding: said, as: UTF8.self) == "hello\n")
            #expect(code == 0)
            let ended = try await rig.wait(machine.metadata.id, "stopped") { $0?.status.phase == .stopped }
            #expect(ended?.status.exitCode == 0)
            #expect(ended?.status.lastEnd == .programExited)
            #expect(rig.host.processes.isEmpty)
        }
    }

    @Test("a machine with --rm is gone when its program has ended, with all that it had")
    func removeWhenStopped() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, _) = try await rig.create("once", program: ["exit", "7"]) { $0.removeWhenStopped = true }
            try await rig.wait(machine.metadata.id, "gone") { $0 == nil }
            #expect(try await rig.leftovers().isEmpty)
        }
    }

    @Test("an exec ends with the run that it was started in, also when the run ends as it begins")
    func execEndsWithRun() async throws {
        try await Rig.with { rig in
            let agent = try rig.start()
            let (machine, created) = try await rig.create("web") { $0.restart = .always }
            let id = machine.metadata.id
            _ = try await rig.wait(created)
            for generation in 1...5 {
                try await rig.wait(id, "run \(generation)") {
                    $0?.status.runGeneration == Int64(generation)
                        && $0?.status.conditions.contains { $0.type == "Ready" && $0.state == .yes } == true
                }
                async let dies: Void = rig.host.terminate("vm-\(id)-\(generation)")
                do {
                    let request = GuestExecRequest(id: "e\(generation)", program: Program(arguments: ["sleep"]))
                    let follower = try await agent.exec(id, request).follow(attached: true)
                    try await withDeadline(.seconds(60), "the end of the exec") {
                        while try await follower.next() != nil {}
                    }
                } catch let error as CoveyError where error.code == .unavailable || error.code == .conflict {
                    // The run was over before the exec began, which is an answer as well.
                }
                await dies
            }
        }
    }

    @Test("a second run has a code and output of its own, and the first one's output is kept")
    func secondRun() async throws {
        try await Rig.with { rig in
            let agent = try rig.start()
            let (machine, _) = try await rig.create("job", program: ["say", "first"])
            let id = machine.metadata.id
            try await rig.wait(id, "stopped") { $0?.status.phase == .stopped }
            try await rig.want(id, .startMachine) { spec in
                spec.startRequest += 1
                spec.program = Program(arguments: ["exit", "9"])
            }
            let second = try await rig.wait(id, "stopped again") {
                $0?.status.phase == .stopped && $0?.status.runGeneration == 2
            }
            #expect(second?.status.exitCode == 9)
            let kept = try await agent.channel(id, ExecChannels.previousRun).follow(attached: false).available() ?? []
            #expect(kept.contains { $0.content == .output(Array("first\n".utf8)) })
            let current = try await agent.channel(id, mainExecID).follow(attached: false).available() ?? []
            #expect(current.map(\.content) == [.exit(9)])
        }
    }

    @Test("a client that is slow gets all output of a machine that is removed meanwhile")
    func slowReader() async throws {
        try await Rig.with { rig in
            let agent = try rig.start()
            let (machine, _) = try await rig.create("once", program: ["say", "hello"]) { $0.removeWhenStopped = true }
            let follower = try await agent.channel(machine.metadata.id, mainExecID).follow(attached: true)
            try await rig.wait(machine.metadata.id, "gone") { $0 == nil }
            var said: [UInt8] = []
            var code: Int32?
            while let entries = try await follower.next() {
                for entry in entries {
                    if case .output(let bytes) = entry.content { said += bytes }
                    if case .exit(let exit) = entry.content { code = exit }
                }
            }
            #expect(String(decoding: said, as: UTF8.self) == "hello\n")
            #expect(code == 0)
        }
    }

    @Test("a stop by the user sticks, and a start runs it again")
    func stopAndStart() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("web") { $0.restart = .always }
            let id = machine.metadata.id
            _ = try await rig.wait(created)
            guard let stop = try await rig.want(id, .stopMachine, { $0.wanted = .stopped }) else { return }
            #expect(try await rig.wait(stop).status.state == .succeeded)
            let stopped = try await rig.repositories.machines.get(id)
            #expect(stopped.status.phase == .stopped)
            #expect(stopped.status.lastEnd == .stopped)
            let start = try await rig.want(id, .startMachine) { spec in
                spec.wanted = .running
                spec.startRequest += 1
            }
            guard let start else { return }
            #expect(try await rig.wait(start).status.state == .succeeded)
            #expect(try await rig.repositories.machines.get(id).status.runGeneration == 2)
            #expect(rig.host.violations().isEmpty)
        }
    }

    @Test("a guest that ignores the stop is killed when its time is up")
    func deaf() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("deaf", program: ["deaf"]) {
                $0.stopTimeoutMilliseconds = 50
            }
            _ = try await rig.wait(created)
            guard let stop = try await rig.want(machine.metadata.id, .stopMachine, { $0.wanted = .stopped }) else {
                return
            }
            #expect(try await rig.wait(stop).status.state == .succeeded)
            #expect(rig.host.processes.isEmpty)
        }
    }

    @Test("a killed VMM is a crash: it follows the restart policy up to its limit")
    func crash() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("frail") { $0.restart = .onFailure(limit: 2) }
            let id = machine.metadata.id
            _ = try await rig.wait(created)
            for generation in 1...3 {
                try await rig.wait(id, "run \(generation)") {
                    $0?.status.phase == .running && $0?.status.runGeneration == Int64(generation)
                }
                rig.host.terminate("vm-\(id)-\(generation)")
            }
            let failed = try await rig.wait(id, "failed") { $0?.status.phase == .failed }
            #expect(failed?.status.lastEnd == .vmmDied)
            #expect(failed?.status.restarts == 2)
            #expect(failed?.status.lastError?.message.contains("signal 9") == true)
            #expect(rig.host.violations().isEmpty)
        }
    }

    @Test("a reboot in the guest starts again, a power-off stops, an unannounced reset is a crash")
    func ends() async throws {
        try await Rig.with { rig in
            try rig.start()
            for (name, end, phase, last) in [
                ("off", RunEnd.poweredOff, MachinePhase.stopped, RunEnd.poweredOff),
                ("panic", .crashed, .failed, .crashed),
            ] {
                let (machine, created) = try await rig.create(name)
                _ = try await rig.wait(created)
                rig.host.end("vm-\(machine.metadata.id)-1", end)
                let seen = try await rig.wait(machine.metadata.id, name) { $0?.status.phase == phase }
                #expect(seen?.status.lastEnd == last)
            }
        }
    }

    @Test("a restart is a new run of the same machine")
    func restart() async throws {
        try await Rig.with { rig in
            try rig.start()
            let (machine, created) = try await rig.create("web")
            _ = try await rig.wait(created)
            let restart = try await rig.want(machine.metadata.id, .restartMachine) { $0.restartRequest += 1 }
            guard let restart else { return }
            #expect(try await rig.wait(restart).status.state == .succeeded)
            let seen = try await rig.repositories.machines.get(machine.metadata.id)
            #expect(seen.status.runGeneration == 2)
            #expect(seen.status.phase == .running)
        }
    }

    @Test("a machine whose first start fails is taken away, and its operation says why")
    func failedCreation() async throws {
        try await Rig.with { rig in
            try rig.start()
            for call in ["launch", "disk"] {
                rig.host.fail(call, with: CoveyError(.exhausted, "no space for \(call)", remedy: "free some"))
                let (machine, created) = try await rig.create("doomed-\(call)")
                let done = try await rig.wait(created)
                #expect(done.status.state == .failed)
                #expect(done.status.error?.code == .exhausted)
                #expect(done.status.error?.remedy == "free some")
                try await rig.wait(machine.metadata.id, "gone") { $0 == nil }
                rig.host.fail(call, with: nil)
            }
            #expect(try await rig.leftovers().isEmpty)
        }
    }

    @Test(
        "a guard that is away for a moment does not fail a creation",
        arguments: [ErrorCode.unavailable, .outcomeUnknown])
    func putOff(_ code: ErrorCode) async throws {
        try await Rig.with { rig in
            try rig.start()
            rig.host.fail("launch", times: 2, with: CoveyError(code, "no guard answers"))
            let (machine, created) = try await rig.create("patient")
            #expect(try await rig.wait(created).status.state == .succeeded)
            let seen = try await rig.repositories.machines.get(machine.metadata.id)
            #expect(seen.status.phase == .running)
            #expect(rig.host.processes.values.count { $0.exit == nil } == 1)
        }
    }

    @Test("a cancelled create leaves nothing")
    func cancelCreate() async throws {
        try await Rig.with { rig in
            let (machine, created) = try await rig.create("never")
            _ = try await rig.repositories.operations.requestCancel(created.metadata.id)
            try rig.start()
            try await rig.wait(machine.metadata.id, "gone") { $0 == nil }
            #expect(try await rig.wait(created).status.state == .cancelled)
            #expect(try await rig.leftovers().isEmpty)
        }
    }

    @Test("a machine is deleted from every state, also when its VMM answers nobody")
    func deleteFromAnyState() async throws {
        try await Rig.with { rig in
            try rig.start()
            for state in ["running", "stopped", "frozen", "pending"] {
                let (machine, created) = try await rig.create(state)
                let id = machine.metadata.id
                if state != "pending" { _ = try await rig.wait(created) }
                if state == "stopped" {
                    try await rig.want(id, .stopMachine) { $0.wanted = .stopped }
                    try await rig.wait(id, "stopped") { $0?.status.phase == .stopped }
                }
                if state == "frozen" { rig.host.freeze("vm-\(id)-1") }
                guard let delete = try await rig.want(id, .deleteMachine, { $0.deleting = true }) else { return }
                #expect(try await rig.wait(delete).status.state == .succeeded)
            }
            #expect(try await rig.leftovers().isEmpty)
        }
    }

    @Test("twenty machines at once all come up, each once")
    func many() async throws {
        try await Rig.with { rig in
            try rig.start()
            try await withThrowingTaskGroup { group in
                for number in 0..<20 {
                    group.addTask {
                        let (_, created) = try await rig.create("m\(number)")
                        #expect(try await rig.wait(created).status.state == .succeeded)
                    }
                }
                try await group.waitForAll()
            }
            #expect(rig.host.processes.count == 20)
            #expect(rig.host.violations().isEmpty)
        }
    }
}
