import CoveyGuard
import CoveyGuardProtocol
import CoveyModel
import CoveySystem
import Testing

@Suite struct StateTests {
    private var record: ProcessRecord {
        ProcessRecord(
            name: "a", mark: "m", bootID: "b",
            outlets: [
                Outlet(path: "/c", policy: .newest, limit: .mebibytes(1)),
                Outlet(path: "/e", policy: .first, limit: .kibibytes(64)),
            ])
    }

    @Test("a process goes from starting over running to ended, and can be forgotten only then")
    func lifeCycle() throws {
        var table = ProcessTable()
        #expect(try table.begin(record) == .start)
        #expect(throws: CoveyError.self) { try table.begin(record) }
        #expect(throws: CoveyError.self) { try table.checkForget("a") }
        table.started("a", pid: 4, startTime: 5)
        let first = try #require(table["a"]).process
        #expect(try table.begin(record) == .repeated(first))
        table.forget("a")
        #expect(table["a"] != nil)
        table.ended("a", .signalled(9))
        table.ended("a", .exited(0))
        #expect(table["a"]?.process.end == .signalled(9))
        try table.checkForget("a")
        table.forget("a")
        #expect(table.records.isEmpty)
        try table.checkForget("a")
    }

    @Test("a start that failed leaves its name free, and another mark does not get its result")
    func marks() throws {
        var table = ProcessTable()
        #expect(try table.begin(record) == .start)
        table.failed("a")
        #expect(try table.begin(record) == .start)
        table.started("a", pid: 4, startTime: 5)
        var other = record
        other.mark = "n"
        #expect(throws: CoveyError.self) { try table.begin(other) }
        other.mark = ""
        #expect(throws: CoveyError.self) { try table.begin(other) }
        // Nor may two processes that run write one log.
        other = ProcessRecord(name: "z", mark: "z", bootID: "b", outlets: record.outlets)
        #expect(throws: CoveyError.self) { try table.begin(other) }
        table.ended("a", .unknown)
        #expect(try table.begin(other) == .start)
    }

    @Test("a state is read as it was written, and version 1 stays readable")
    func roundTrip() throws {
        var running = record
        running.name = "b"
        running.pid = 9
        running.startTime = 10
        running.phase = .running
        var ended = running
        ended.name = "c"
        ended.phase = .ended(.exited(3))
        let state = GuardState(records: [record, running, ended], replacements: 4, pipes: ["/c.fifo": 12])
        #expect(try GuardState(decoding: state.encoded) == state)
        let golden: [UInt8] = [
            0x63, 0x76, 0x67, 0x73, 1, 0, 1, 0, 45, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0x61, 2, 0, 4, 0, 0, 0, 7, 0, 0, 0, 3, 0,
            8, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0, 0x62, 20, 0, 1, 0, 0, 0, 0x6D, 2, 0, 4, 0, 0, 0, 0, 0,
            0, 0,
        ]
        let read = try GuardState(decoding: golden)
        #expect(read.records.map(\.name) == ["a"])
        #expect(read.records.first?.phase == .running)
        #expect(read.records.first?.pid == 7)
        #expect(throws: CoveyError.self) { try GuardState(decoding: Array(golden.dropLast(3))) }
    }

    @Test("options name what is wrong with them")
    func options() throws {
        let options = try GuardOptions(["--root-run", "/r", "--instance", "0123abcd"])
        #expect(options.socketPath == "/r/guard.sock")
        #expect(options.statePath == "/r/guard.state")
        for bad in [
            [], ["--root-run", "/r"], ["--root-run", "r", "--instance", "0123abcd"],
            ["--root-run", "/r", "--instance", "xyz"], ["--root-run"],
            ["--root-run", "/r", "--instance", "0123abcd", "-x"],
            ["--root-run", "/r", "--instance", "0123abcd", "--handover", "1,2"],
        ] {
            #expect(throws: CoveyError.self, "\(bad)") { try GuardOptions(bad) }
        }
    }

    @Test("control group mounts of both versions are found, with blanks in their paths")
    func mounts() throws {
        let text = """
            22 1 0:20 / /proc rw - proc proc rw
            30 23 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
            41 31 0:38 /docker/x /sys/fs/my\\040cgroup rw - cgroup2 cgroup2 rw,nsdelegate
            33 23 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
            """
        let mounts = ControlGroupMount.parse(text)
        #expect(mounts.map(\.version) == [2, 1, 1])
        #expect(mounts.map(\.path) == ["/sys/fs/my cgroup", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/systemd"])
        #expect(mounts.map(\.controllers) == [[], [.cpu], []])
        let membership = "3:cpu,cpuacct:/a\n2:name=systemd:/s\n0::/docker/x/unit\n"
        #expect(mounts.map { $0.ownPath(membership) } == ["/unit", "/a", "/s"])
        #expect(mounts[0].ownPath("0::/elsewhere\n") == nil)
    }

    @Test("groups of version 1 hold, kill and let go of processes where there is no version 2")
    func versionOne() async throws {
        let instance = InstanceID(random: .random(in: .min ... .max))
        let all = try readText("/proc/self/mountinfo").split(separator: "\n")
        let mountinfo = all.filter { !$0.contains(" - cgroup2 ") }.joined(separator: "\n")
        guard all.contains(where: { $0.contains(" - cgroup ") && $0.contains("pids") }) else {
            // A host with version 2 alone: without it there is no group, and that is said.
            let groups = try ControlGroups(instance: instance, ownsProcess: false, mountinfo: mountinfo)
            #expect(groups.limitations.count == 4)
            return
        }
        let groups = try ControlGroups(instance: instance, ownsProcess: false, mountinfo: mountinfo)
        #expect(groups.unifiedBase == nil)
        #expect(try groups.make("a", limits: ControlGroupLimits(tasks: 9)).isEmpty)
        let membership = try groups.openMembership("a")
        let process = try SpawnPlan(
            arguments: ["/bin/sleep", "1000"], groups: membership, rights: .confined(user: 54_321)
        ).start()
        for descriptor in membership { try FileDescriptor(owning: descriptor).close() }
        #expect(try groups.names() == ["a"])
        #expect(try groups.members("a") == [process.pid])
        #expect(try groups.remove("a") == false)
        try groups.kill("a")
        let descriptor = process.takeDescriptor()
        try await eventually("it has ended") { try descriptor.reap() == .signalled(9) }
        try await eventually("it is gone") { try groups.remove("a") }
        #expect(try groups.removeAll())
    }

    @Test("a program's name with blanks and parentheses does not confuse what is read of its process")
    func processFacts() throws {
        let text = "77 (a) R (b) S 1 77 76 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1000\n"
        let facts = try #require(ProcessFacts(stat: text))
        #expect(facts.pid == 77 && facts.state == "S" && facts.parent == 1 && facts.session == 76)
        #expect(facts.startTime == 12345)
        #expect(ProcessFacts(stat: "77 (a) S 1") == nil)
    }
}
