import CoveySystem
import Testing

@Suite("A machine from one command", .tags(.machine), .host)
struct RunTests {
    @Test("output, standard error and exit code of the program are passed on")
    func output() async throws {
        let host = try await TestHost.current()
        let outcome = try await host.run(
            "run", "--rm", "busybox", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        #expect(outcome.code == 3)
        #expect(outcome.text == "out\n")
        #expect(outcome.error == "err\n")
    }

    @Test("a program that is not there gives 127, one that cannot be executed 126")
    func notExecutable() async throws {
        let host = try await TestHost.current()
        let missing = try await host.run("run", "--rm", "busybox", "--", "nosuch")
        #expect(missing.code == 127 && missing.error.contains("nosuch"), "\(missing)")
        let plain = try await host.run("run", "--rm", "busybox", "--", "/etc/passwd")
        #expect(plain.code == 126 && plain.error.contains("/etc/passwd"), "\(plain)")
    }

    @Test("standard input goes to the program, and its end too")
    func input() async throws {
        let host = try await TestHost.current()
        let sent = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        let outcome = try await host.run("run", "--rm", "-i", "busybox", "--", "cat", input: sent)
        #expect(outcome.code == 0, "\(outcome.error)")
        // Not compared in the expectation itself: finding the difference of a megabyte takes it hours.
        let isSame = outcome.bytes == sent
        #expect(isSame, "\(outcome.bytes.count) bytes came back")
    }

    @Test("with -d the machine goes on, logs -f follow its program to the end, and --rm leaves nothing")
    func detached() async throws {
        let host = try await TestHost.current()
        let script = "for i in 1 2 3 4; do echo line $i; sleep 1; done; echo end >&2; exit 4"
        let name = try await host.succeed(
            "run", "-d", "--rm", "--name", "detached", "busybox", "--", "sh", "-c", script)
        #expect(name.text == "detached\n")
        let machine = try await host.ready("detached")
        #expect(try host.machineProcesses(machine.id).count == 1)
        let logs = try await host.run("logs", "-f", "detached")
        #expect(logs.code == 0)
        #expect(logs.text == "line 1\nline 2\nline 3\nline 4\n")
        #expect(logs.error == "end\n")
        try await host.succeed("vm", "wait", "detached", "--for", "deleted")
        #expect(try await host.isGone("detached"))
        #expect(!fileExists("\(host.root)/vms/\(machine.id)"))
        #expect(try host.machineProcesses(machine.id).isEmpty)
    }

    @Test("the exit code of a machine's program is kept, and its output too")
    func kept() async throws {
        let host = try await TestHost.current()
        let outcome = try await host.run("run", "--name", "kept", "busybox", "--", "sh", "-c", "echo hi; exit 7")
        #expect(outcome.code == 7)
        let machine = try await host.phase("kept", "stopped")
        #expect(machine.status.exitCode == 7)
        #expect(machine.status.lastEnd == "programExited")
        #expect(machine.status.pid == nil)
        #expect(try await host.succeed("logs", "kept").text == "hi\n")
    }

    @Test("the time line names each stage of the start, and the sum is not more than the whole")
    func timeline() async throws {
        let host = try await TestHost.current()
        let begin = ContinuousClock.now
        try await host.succeed("vm", "create", "--name", "timed", "busybox")
        let whole = begin.duration(to: .now)
        let stages = try await host.inspect("timed").status.timeline
        #expect(stages.map(\.stage) == ["image", "disk", "vmm", "kernel", "agent", "ready"])
        #expect(stages.allSatisfy { $0.milliseconds >= 0 })
        for stage in stages where ["vmm", "kernel", "agent"].contains(stage.stage) { #expect(stage.milliseconds > 0) }
        #expect(.milliseconds(stages.reduce(0) { $0 + $1.milliseconds }) <= whole)
        let drawn = try await host.succeed("vm", "timeline", "timed").text
        for stage in stages { #expect(drawn.contains(stage.stage)) }
    }

    @Test("environment, CPUs and memory are those that were asked for")
    func options() async throws {
        let host = try await TestHost.current()
        let outcome = try await host.succeed(
            "run", "--rm", "--env", "GREETING=hello you", "--cpus", "2", "--memory", "128M", "--name", "sized",
            "busybox", "--", "sh", "-c", "echo $GREETING; nproc; hostname; awk '/MemTotal/ { print $2 }' /proc/meminfo")
        let lines = outcome.lines
        #expect(lines.prefix(3) == ["hello you", "2", "sized"], "\(outcome)")
        #expect((80_000..<131_073).contains(Int(lines.last ?? "") ?? 0), "\(outcome)")
    }
}
