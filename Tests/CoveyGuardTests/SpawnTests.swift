import CoveyGuardClient
import CoveyModel
import CoveySystem
import CoveyVMM
import Glibc
import Testing

@Suite struct SpawnTests {
    @Test("a process has no capability, no way to new privileges, and none of our state")
    func isConfined() async throws {
        try await GuardFixture.with { fixture in
            var request = try fixture.sleeper("confined")
            request.arguments = ["/bin/sleep", "1000"]
            request.workingDirectory = "/usr"
            request.groups = [5432, 4321]
            request.limits.openFiles = 77
            let pid = try await fixture.client.spawn(request).identity.pid
            try await eventually("sleep runs") { try status(pid, "Name") == "sleep" }
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                #expect(try status(pid, set) == "0000000000000000", "\(set)")
            }
            #expect(try status(pid, "NoNewPrivs") == "1")
            #expect(try status(pid, "Uid") == "54321 54321 54321 54321")
            #expect(try status(pid, "Gid") == "54321 54321 54321 54321")
            #expect(try status(pid, "Groups") == "4321 5432")
            #expect(try status(pid, "Umask") == "0077")
            for set in ["SigBlk", "SigIgn", "SigCgt"] { #expect(try status(pid, set) == "0000000000000000", "\(set)") }
            let limits = try readText("/proc/\(pid)/limits").split(separator: "\n")
            let files = try #require(limits.first { $0.hasPrefix("Max open files") })
            #expect(files.split(separator: " ").dropFirst(3).prefix(2) == ["77", "77"])
            let core = try #require(limits.first { $0.hasPrefix("Max core file size") })
            #expect(core.split(separator: " ").dropFirst(4).prefix(2) == ["0", "0"])
            #expect(try linkTarget("/proc/\(pid)/cwd") == "/usr")
            #expect(ProcessFacts(pid: pid)?.session == pid)
            #expect(try readText("/proc/\(pid)/cgroup").contains("/covey-\(fixture.instance)/confined"))
            #expect(try readText("/proc/\(pid)/environ") == "PATH=/usr/bin:/bin\0")
        }
    }

    @Test("every permutation of descriptors arrives, and no other descriptor")
    func descriptorsArrive() async throws {
        try await GuardFixture.with { fixture in
            // The guard receives them under low numbers of its own, so that these clash with the wanted ones.
            let numbers: [Int32] = [10, 14, 11, 9, 13, 12, 8, 7, 16, 15, 17, 255]
            var request = try fixture.sleeper("mapped")
            request.descriptors = []
            for number in numbers {
                let path = "\(fixture.folder)/file-\(number)"
                try writeFileAtomically(path, Array("\(number)".utf8))
                request.descriptors.append(
                    PassedDescriptor(SharedDescriptor(try openFile(path, .readOnly)), as: number))
            }
            let pid = try await fixture.client.spawn(request).identity.pid
            try await eventually("sleep runs") { try status(pid, "Name") == "sleep" }
            let open = try listFolder("/proc/\(pid)/fd").compactMap { Int32($0) }.sorted()
            #expect(open == ([0, 1, 2] + numbers).sorted())
            for number in numbers {
                #expect(try linkTarget("/proc/\(pid)/fd/\(number)") == "\(fixture.folder)/file-\(number)")
            }
            for number in 0...2 { #expect(try linkTarget("/proc/\(pid)/fd/\(number)") == "/dev/null") }
        }
    }

    @Test("a process gets namespaces of its own only where it is asked for")
    func namespaces() async throws {
        try await GuardFixture.with { fixture in
            var isolated = try fixture.sleeper("isolated")
            isolated.isolatesNetwork = true
            let inside = try await fixture.client.spawn(isolated).identity.pid
            let outside = try await fixture.client.spawn(try fixture.sleeper("open")).identity.pid
            for kind in ["net", "ipc", "uts"] {
                let ours = try linkTarget("/proc/self/ns/\(kind)")
                #expect(try linkTarget("/proc/\(inside)/ns/\(kind)") != ours, "\(kind)")
                #expect(try linkTarget("/proc/\(outside)/ns/\(kind)") == ours, "\(kind)")
            }
        }
    }

    @Test("a missing program, a missing folder and a file that is no program are told apart, and leave nothing")
    func cannotStart() async throws {
        try await GuardFixture.with { fixture in
            func code(_ change: (inout SpawnRequest) -> Void) async throws -> ErrorCode? {
                var request = try fixture.sleeper("broken")
                request.console = ConsoleLog(number: 3, path: "\(fixture.folder)/broken.log", limit: .mebibytes(1))
                change(&request)
                do {
                    _ = try await fixture.client.spawn(request)
                    return nil
                } catch { return CoveyError.wrapping(error).code }
            }
            let cases: [(ErrorCode, (inout SpawnRequest) -> Void)] = [
                (.notFound, { $0.arguments = ["/nowhere/qemu"] }), (.denied, { $0.arguments = ["/etc/passwd"] }),
                (.invalid, { $0.workingDirectory = "/nowhere" }), (.invalid, { $0.arguments = ["sleep"] }),
                (.invalid, { $0.name = "a/../b" }), (.invalid, { $0.descriptors += $0.descriptors }),
                (.invalid, { $0.environment["A"] = "\0" }),
            ]
            for (index, (expected, change)) in cases.enumerated() {
                let seen = try await code(change)
                #expect(seen == expected, "case \(index)")
            }
            #expect(try await fixture.client.processes().isEmpty)
            #expect(try fixture.groups.names().isEmpty)
            #expect(!fileExists("\(fixture.folder)/broken.log.fifo"))
            // The name is free.
            let seen = try await code { _ in () }
            #expect(seen == nil)
        }
    }

    @Test("limits stand in the process's control group, and what cannot be limited is said")
    func limits() async throws {
        try await GuardFixture.with { fixture in
            var request = try fixture.sleeper("limited")
            request.limits = ResourceLimits(memory: .mebibytes(64), tasks: 5, cpus: 1.5)
            let pid = try await fixture.client.spawn(request).identity.pid
            let wanted: [(ControlGroupController, [String: String])] = [
                (.memory, ["memory.max": "67108864", "memory.limit_in_bytes": "67108864"]),
                (.pids, ["pids.max": "5"]),
                (.cpu, ["cpu.max": "150000 100000", "cpu.cfs_quota_us": "150000"]),
            ]
            let sentences = try await fixture.client.limitations()
            let mounts = ControlGroupMount.parse(try readText("/proc/self/mountinfo"))
            let membership = try readText("/proc/\(pid)/cgroup")
            var limited = 0
            for mount in mounts {
                guard let path = mount.ownPath(membership), path.contains("covey-\(fixture.instance)") else { continue }
                for (_, files) in wanted {
                    for (file, value) in files where fileExists("\(mount.path)\(path)/\(file)") {
                        #expect(try readText("\(mount.path)\(path)/\(file)") == "\(value)\n")
                        limited += 1
                    }
                }
            }
            #expect(limited + sentences.count == wanted.count, "\(sentences)")
        }
    }

    @Test("fifty processes at once all end with their own status, and the guard holds nothing more than before")
    func fiftyAtOnce() async throws {
        try await GuardFixture.with { fixture in
            let guardPID = try await fixture.client.facts().processID
            let before = try listFolder("/proc/\(guardPID)/fd").count
            let clock = ContinuousClock()
            let start = clock.now
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        var request = try fixture.script("p-\(number)", "echo \(number) >&3; exit \(number)")
                        request.console = ConsoleLog(
                            number: 3, path: "\(fixture.folder)/p-\(number).log", limit: .mebibytes(1))
                        _ = try await fixture.client.spawn(request)
                        #expect(
                            try await fixture.client.waitForExit("p-\(number)") == .known(.exited(Int32(number))))
                        #expect(try readText("\(fixture.folder)/p-\(number).log") == "\(number)\n")
                    }
                }
                try await group.waitForAll()
            }
            print("50 processes with consoles, started and ended: \(clock.now - start)")
            #expect(try await fixture.client.processes().count == 50)
            for number in 0..<50 { try await fixture.client.forget("p-\(number)") }
            #expect(try await fixture.client.processes().isEmpty)
            #expect(try fixture.groups.names().isEmpty)
            #expect(try listFolder(fixture.folder).filter { $0.hasSuffix(".fifo") }.isEmpty)
            try await eventually("no descriptor is kept") { try listFolder("/proc/\(guardPID)/fd").count <= before }
        }
    }
}
