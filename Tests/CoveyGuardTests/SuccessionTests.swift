import CoveyGuard
import CoveyGuardClient
import CoveyModel
import CoveySystem
import CoveyTesting
import CoveyVMM
import Glibc
import Testing

@Suite struct SuccessionTests {
    @Test("processes outlive a guard that is killed; the next one takes them over, and their status is unknown")
    func takesOver() async throws {
        try await GuardFixture.with { fixture in
            let client = fixture.client
            let process = try await client.spawn(try fixture.sleeper("survivor"))
            _ = try await client.spawn(try fixture.script("early", "exit 5"))
            #expect(try await client.waitForExit("early") == .known(.exited(5)))
            let wait = Task { try await client.waitForExit("survivor") }
            try await fixture.killGuard()
            #expect(ProcessFacts(pid: process.identity.pid)?.startTime == process.identity.startTime)
            // The client starts the next guard by itself.
            let processes = try await client.processes()
            #expect(processes.map(\.name) == ["early", "survivor"])
            #expect(processes.map(\.identity).last == process.identity)
            #expect(processes.map(\.end) == [.known(.exited(5)), nil])
            try await client.signal("survivor", SIGTERM)
            #expect(try await wait.value == .unknown)
            try await client.forget("survivor")
            try await client.forget("early")
            #expect(try fixture.groups.names().isEmpty)
        }
    }

    @Test("a process that ended while there was no guard has ended with unknown status")
    func endedMeanwhile() async throws {
        try await GuardFixture.with { fixture in
            let process = try await fixture.client.spawn(try fixture.sleeper("gone"))
            let descriptor = try ProcessDescriptor(pid: process.identity.pid)
            try await fixture.killGuard()
            try descriptor.send(SIGKILL)
            try await fixture.reactor.readable(descriptor.raw)
            #expect(try await fixture.client.waitForExit("gone") == .unknown)
        }
    }

    @Test("a guard that replaces itself keeps its children and their real status", arguments: [true, false])
    func replacesItself(byRequest: Bool) async throws {
        try await GuardFixture.with { fixture in
            let client = fixture.client
            var request = try fixture.script("child", "echo before >&3; read line <&4; echo after >&3; exit 9")
            var pipe = try makePipe()
            let (reader, writer) = (SharedDescriptor(pipe.takeFirst()), SharedDescriptor(pipe.takeSecond()))
            request.descriptors.append(PassedDescriptor(reader, as: 4))
            request.console = ConsoleLog(number: 3, path: "\(fixture.folder)/child.log", limit: .mebibytes(1))
            let process = try await client.spawn(request)
            let wait = Task { try await client.waitForExit("child") }
            let before = try await client.facts()
            if byRequest {
                let after = try await client.replace(by: try GuardFixture.program)
                #expect(after.processID == before.processID)
            } else {
                try check("kill") { kill(before.processID, SIGHUP) }
            }
            try await eventually("it is replaced") { try await client.facts().replacements == 1 }
            #expect(try await client.processes() == [process])
            try writeAll(writer.raw, Array("go\n".utf8))
            #expect(try await wait.value == .known(.exited(9)))
            #expect(try readText("\(fixture.folder)/child.log") == "before\nafter\n")
            try await client.forget("child")
        }
    }

    @Test("a child that ends while the guard replaces itself keeps its status")
    func endsDuringReplacement() async throws {
        try await GuardFixture.with { fixture in
            for number in 1...20 {
                _ = try await fixture.client.spawn(
                    try fixture.script("c-\(number)", "sleep 0.0\(number); exit \(number)"))
            }
            for _ in 1...3 { _ = try await fixture.client.replace(by: try GuardFixture.program) }
            for number in 1...20 {
                #expect(try await fixture.client.waitForExit("c-\(number)") == .known(.exited(Int32(number))))
            }
        }
    }

    @Test("a program that others can change, or that is none, does not replace the guard")
    func refusesReplacement() async throws {
        try await GuardFixture.with { fixture in
            let open = "\(fixture.folder)/open"
            try writeFileAtomically(open, Array("#!/bin/sh\n".utf8), mode: 0o777)
            let denied = await #expect(throws: CoveyError.self) { try await fixture.client.replace(by: open) }
            #expect(denied?.code == .denied)
            let broken = "\(fixture.folder)/broken"
            try writeFileAtomically(broken, Array("no program".utf8), mode: 0o755)
            await #expect(throws: CoveyError.self) { try await fixture.client.replace(by: broken) }
            await #expect(throws: CoveyError.self) { try await fixture.client.replace(by: "/nowhere") }
            // It goes on, logs included.
            var request = try fixture.script("after", "echo well >&3")
            request.console = ConsoleLog(number: 3, path: "\(fixture.folder)/after.log", limit: .mebibytes(1))
            _ = try await fixture.client.spawn(request)
            #expect(try await fixture.client.waitForExit("after") == .known(.exited(0)))
            #expect(try readText("\(fixture.folder)/after.log") == "well\n")
        }
    }

    @Test("a process that only its control group tells of is found by its name")
    func findsOrphan() async throws {
        try await GuardFixture.with { fixture in
            let process = try await fixture.client.spawn(try fixture.sleeper("orphan"))
            try await fixture.killGuard()
            try removeFile("\(fixture.folder)/run/guard.state")
            #expect(try await fixture.client.processes() == [process])
            try await fixture.client.kill("orphan")
            #expect(try await fixture.client.waitForExit("orphan") == .unknown)
            try await fixture.client.forget("orphan")
        }
    }

    @Test("a state file that cannot be read is set aside, and the guard goes on from the control groups")
    func damagedState() async throws {
        try await GuardFixture.with { fixture in
            let process = try await fixture.client.spawn(try fixture.sleeper("kept"))
            try await fixture.killGuard()
            try writeFileAtomically("\(fixture.folder)/run/guard.state", Array("garbage".utf8))
            #expect(try await fixture.client.processes() == [process])
            #expect(try readText("\(fixture.folder)/run/guard.state.damaged-1") == "garbage")
        }
    }

    @Test("a start that was written down but not confirmed is found, or forgotten where it never came to be")
    func unconfirmedStart() async throws {
        try await GuardFixture.with { fixture in
            let process = try await fixture.client.spawn(try fixture.sleeper("real"))
            try await fixture.killGuard()
            let path = "\(fixture.folder)/run/guard.state"
            var state = try GuardState(decoding: try readFile(path))
            state.records[0].phase = .starting
            state.records[0].pid = 0
            state.records[0].startTime = 0
            state.records.append(ProcessRecord(name: "never", mark: "m", bootID: state.records[0].bootID))
            try state.save(to: path)
            #expect(try await fixture.client.processes() == [process])
        }
    }

    @Test("a guard that is killed at random instants loses no process and starts none twice", arguments: [1, 2, 3, 4])
    func killedAtRandom(seed: UInt64) async throws {
        try await GuardFixture.with { fixture in
            var generator = SeededGenerator(seed: seed)
            let client = fixture.client
            for round in 0..<8 {
                let name = "r-\(round)"
                var request = try fixture.sleeper(name)
                request.arguments = ["/bin/sh", "-c", "echo started; exec sleep 1000"]
                request.console = ConsoleLog(number: 3, path: "\(fixture.folder)/\(name).log", limit: .mebibytes(1))
                let guardProcess = try ProcessDescriptor(pid: try await client.facts().processID)
                let start = Task { [request] in try await client.spawn(request) }
                try await Task.sleep(for: .microseconds(Int.random(in: 0...10_000, using: &generator)))
                try guardProcess.send(SIGKILL)
                let process = try await start.value
                #expect(try fixture.groups.members(name) == [process.identity.pid])
                try await eventually("it has started") { try fixture.output(name) == "started\n" }
            }
            #expect(try await client.processes().map(\.end) == [SupervisedProcess.End?](repeating: nil, count: 8))
            for round in 0..<8 {
                let name = "r-\(round)"
                let guardProcess = try ProcessDescriptor(pid: try await client.facts().processID)
                let end = Task {
                    try await client.kill(name)
                    try await client.forget(name)
                }
                try await Task.sleep(for: .microseconds(Int.random(in: 0...10_000, using: &generator)))
                try guardProcess.send(SIGKILL)
                // A kill that is repeated may find the process forgotten by nobody but itself.
                try await end.value
            }
            #expect(try await client.processes().isEmpty)
            #expect(try fixture.groups.names().isEmpty)
            #expect(try listFolder(fixture.folder).filter { $0.hasSuffix(".fifo") }.isEmpty)
        }
    }

    @Test("a console goes on after the death of a guard, and standard error over it without a gap")
    func consoleGoesOn() async throws {
        try await GuardFixture.with { fixture in
            var pipe = try makePipe()
            let (reader, writer) = (SharedDescriptor(pipe.takeFirst()), SharedDescriptor(pipe.takeSecond()))
            var request = try fixture.script(
                "talker", "trap '' PIPE; while read line; do echo $line 2>/dev/null >&3; echo $line >&2; done")
            request.descriptors.append(PassedDescriptor(reader, as: 0))
            request.console = ConsoleLog(number: 3, path: "\(fixture.folder)/talker.log", limit: .mebibytes(1))
            request.errorLog = "\(fixture.folder)/talker.err"
            let pid = try await fixture.client.spawn(request).identity.pid
            request.descriptors = []
            try writeAll(writer.raw, Array("one\n".utf8))
            try await eventually("one is there") { try readText("\(fixture.folder)/talker.log") == "one\n" }
            try await fixture.killGuard()
            try writeAll(writer.raw, Array("two\n".utf8))
            _ = try await fixture.client.processes()
            try writeAll(writer.raw, Array("three\n".utf8))
            try await eventually("all is there") {
                try readText("\(fixture.folder)/talker.log").hasSuffix("three\n")
                    && (try readText("\(fixture.folder)/talker.err")) == "one\ntwo\nthree\n"
            }
            #expect(ProcessFacts(pid: pid) != nil)
            try await fixture.client.kill("talker")
            try await fixture.client.forget("talker")
            #expect(!fileExists("\(fixture.folder)/talker.log.fifo"))
            #expect(!fileExists("\(fixture.folder)/talker.err.fifo"))
        }
    }
}
