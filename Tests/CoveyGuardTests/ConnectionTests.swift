import CoveyGuardClient
import CoveyGuardProtocol
import CoveyModel
import CoveySystem
import CoveyVMM
import Glibc
import Testing

@Suite struct ConnectionTests {
    /// Sends raw packets and returns the answer; nil where the connection was ended.
    private func exchange(
        _ fixture: GuardFixture, _ socket: Int32, _ packet: [UInt8], descriptors: [Int32] = []
    ) async throws -> GuardResponse? {
        #expect(try sendPacket(socket, packet, descriptors: descriptors))
        while true {
            try await fixture.reactor.readable(socket)
            guard let answer = try receivePacket(socket, limit: GuardProtocol.longestPacket) else { continue }
            return answer.bytes.isEmpty ? nil : try GuardResponse.decode(answer.bytes).response
        }
    }

    @Test("a malformed packet ends its connection and no other")
    func malformed() async throws {
        try await GuardFixture.with { fixture in
            let process = try await fixture.client.spawn(try fixture.sleeper("bystander"))
            let facts = try await fixture.client.facts()
            for bad in [[1, 2, 3], Array(GuardRequest.kill(name: "bystander").encoded(id: 1).dropLast(2))] {
                let socket = try connectUnix(fixture.launcher.socketPath, .packets)
                #expect(try await exchange(fixture, socket.raw, bad) == nil)
            }
            let socket = try connectUnix(fixture.launcher.socketPath, .packets)
            var unknown = GuardRequest.shutdown.encoded(id: 1)
            unknown[6] = 0xEE
            guard case .failure(let error) = try await exchange(fixture, socket.raw, unknown) else {
                Issue.record("an unknown request was not refused")
                return
            }
            #expect(error.code == .unsupported)
            #expect(try await fixture.client.processes() == [process])
            #expect(try await fixture.client.facts() == facts)
        }
    }

    @Test("a start that is repeated with its mark gets the first result, on another connection too")
    func repeatedStart() async throws {
        try await GuardFixture.with { fixture in
            let spawn = GuardSpawn(name: "twice", mark: "m", arguments: ["/bin/sleep", "1000"], user: 54_321)
            let packet = GuardRequest.spawn(spawn).encoded(id: 1)
            var results: [GuardResponse?] = []
            for _ in 0..<2 {
                let socket = try connectUnix(fixture.launcher.socketPath, .packets)
                results.append(try await exchange(fixture, socket.raw, packet))
            }
            #expect(results[0] == results[1])
            guard case .process(let process) = results[0] else {
                Issue.record("\(results)")
                return
            }
            try await fixture.killGuard()
            _ = try await fixture.client.facts()
            let socket = try connectUnix(fixture.launcher.socketPath, .packets)
            #expect(try await exchange(fixture, socket.raw, packet) == .process(process))
        }
    }

    @Test("descriptors that do not fit their numbers are refused and closed")
    func wrongDescriptors() async throws {
        try await GuardFixture.with { fixture in
            let guardPID = try await fixture.client.facts().processID
            let socket = try connectUnix(fixture.launcher.socketPath, .packets)
            _ = try await exchange(fixture, socket.raw, GuardRequest.limitations.encoded(id: 1))
            let before = try listFolder("/proc/\(guardPID)/fd").count
            let spawn = GuardSpawn(name: "wrong", mark: "m", arguments: ["/bin/true"], user: 54_321)
            var pipe = try makePipe()
            let (reader, writer) = (SharedDescriptor(pipe.takeFirst()), SharedDescriptor(pipe.takeSecond()))
            let answer = try await exchange(
                fixture, socket.raw, GuardRequest.spawn(spawn).encoded(id: 2),
                descriptors: [reader.raw, writer.raw])
            guard case .failure(let error) = answer else {
                Issue.record("\(String(describing: answer))")
                return
            }
            #expect(error.code == .invalid)
            try await eventually("no descriptor is kept") { try listFolder("/proc/\(guardPID)/fd").count <= before }
        }
    }

    @Test("only one guard runs in a folder: the second says so and ends with 4")
    func onlyOne() async throws {
        try await GuardFixture.with { fixture in
            let command = [
                try GuardFixture.program, "--root-run", fixture.launcher.runFolder, "--instance", "\(fixture.instance)",
            ]
            var pipe = try makePipe()
            let (reader, writer) = (SharedDescriptor(pipe.takeFirst()), SharedDescriptor(pipe.takeSecond()))
            let second = try SpawnPlan(
                arguments: command, descriptors: [2: writer.raw], rights: .inherited
            ).start().takeDescriptor()
            try await fixture.reactor.readable(second.raw)
            #expect(try second.reap() == .exited(4))
            let said = try #require(try readSome(reader.raw))
            #expect(String(decoding: said, as: UTF8.self).contains("runs already"))
            _ = try await fixture.client.facts()
        }
    }

    @Test("launchers that start at once end up with one guard")
    func oneGuardForAll() async throws {
        try await GuardFixture.with { fixture in
            try await fixture.killGuard()
            let pids = try await withThrowingTaskGroup(of: Int32.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let client = try await fixture.launcher.connect()
                        let pid = try await client.facts().processID
                        await client.close()
                        return pid
                    }
                }
                return try await group.reduce(into: Set<Int32>()) { $0.insert($1) }
            }
            #expect(pids.count == 1)
            let pid = try #require(pids.first)
            // It is nobody's child here, and in a group of its own.
            #expect(ProcessFacts(pid: pid)?.parent != getpid())
            #expect(try readText("/proc/\(pid)/cgroup").contains("/covey-\(fixture.instance)/_guard"))
        }
    }

    @Test("a missing program and a folder that others may enter are refused with a remedy")
    func cannotLaunch() async throws {
        try await GuardFixture.with { fixture in
            var launcher = fixture.launcher
            launcher.runFolder = "\(fixture.folder)/other"
            launcher.program = "/nowhere/covey-guard"
            let missing = await #expect(throws: CoveyError.self) { try await launcher.connect() }
            #expect(missing?.code == .notFound)
            #expect(missing?.remedy != nil)
            launcher.program = try GuardFixture.program
            try makeFolder(launcher.runFolder)
            try check("chmod") { chmod(launcher.runFolder, 0o755) }
            let refused = await #expect(throws: CoveyError.self) { try await launcher.connect() }
            #expect(refused?.description.contains("open to others") == true)
        }
    }

    @Test("a guard ends only without processes, and leaves neither socket nor control group")
    func shutsDown() async throws {
        try await GuardFixture.with { fixture in
            let client = fixture.otherClient()
            let guardProcess = try ProcessDescriptor(pid: try await client.facts().processID)
            _ = try await client.spawn(try fixture.sleeper("last"))
            let refused = await #expect(throws: CoveyError.self) { try await client.shutdownGuard() }
            #expect(refused?.code == .conflict)
            try await client.kill("last")
            try await client.forget("last")
            try await client.shutdownGuard()
            try await fixture.reactor.readable(guardProcess.raw)
            #expect(!fileExists(fixture.launcher.socketPath))
            #expect(try listFolder("\(fixture.folder)/run") == ["guard.lock", "guard.log"])
            for mount in ControlGroupMount.parse(try readText("/proc/self/mountinfo")) {
                #expect(!fileExists("\(mount.path)/covey-\(fixture.instance)"))
            }
        }
    }

    @Test("a guard that does not answer holds a caller no longer than its patience")
    func frozenGuard() async throws {
        try await GuardFixture.with { fixture in
            let pid = try await fixture.client.facts().processID
            let client = GuardClient(
                socketPath: fixture.launcher.socketPath, instance: fixture.instance, reactor: fixture.reactor,
                patience: .seconds(2))
            _ = try await client.facts()
            try check("kill") { kill(pid, SIGSTOP) }
            let error = await #expect(throws: CoveyError.self) { try await client.processes() }
            #expect(error?.code == .deadline)
            try check("kill") { kill(pid, SIGCONT) }
            await client.close()
        }
    }

    @Test("the guard stays small")
    func resident() async throws {
        try await GuardFixture.with { fixture in
            let pid = try await fixture.client.facts().processID
            var times: [Duration] = []
            for number in 0..<100 {
                let request = try fixture.sleeper("s-\(number)")
                let start = ContinuousClock.now
                _ = try await fixture.client.spawn(request)
                times.append(ContinuousClock.now - start)
            }
            let resident = try status(pid, "VmRSS").split(separator: " ")
            times.sort()
            print("guard with 100 processes: \(resident) resident; a spawn: \(times[50]) median, \(times[99]) longest")
            #expect(try #require(Int(resident[0])) < 8 << 10)
        }
    }
}
