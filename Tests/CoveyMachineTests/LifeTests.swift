import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("The end of a run, and what follows it", .tags(.machine), .host)
struct LifeTests {
    @Test("a program that ignores TERM is ended when its time is up")
    func ignoresTerm() async throws {
        let host = try await TestHost.current()
        let script = "trap '' TERM INT HUP; echo up; while :; do sleep 1; done"
        try await host.succeed("run", "-d", "--name", "stubborn", "busybox", "--", "sh", "-c", script)
        try await host.ready("stubborn")
        try await eventually("the program is up") { try await host.run("logs", "stubborn").text == "up\n" }
        let begin = ContinuousClock.now
        try await host.succeed("vm", "stop", "--timeout", "3s", "stubborn")
        let time = begin.duration(to: .now)
        #expect(time < .seconds(8), "\(time)")
        let machine = try await host.phase("stubborn", "stopped")
        #expect(machine.status.lastEnd == "stopped")
        #expect(machine.status.lastError == nil)
        #expect(try host.machineProcesses(machine.id).isEmpty)
    }

    @Test("a machine that was stopped starts again with its disk, and a user's stop sticks")
    func restartKeepsDisk() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "disk", "--restart", "always", "busybox")
        try await host.succeed("exec", "disk", "--", "sh", "-c", "echo kept > /root/file; sync")
        // Far beyond the command's own deadline: a guest that does not go by itself fails the test.
        try await host.succeed("vm", "stop", "--timeout", "1h", "disk")
        #expect(try await host.phase("disk", "stopped").status.lastEnd == "stopped")
        try await host.succeed("vm", "start", "disk")
        let machine = try await host.ready("disk", generation: 2)
        #expect(machine.status.restarts == 0)
        #expect(try await host.succeed("exec", "disk", "--", "cat", "/root/file").text == "kept\n")
    }

    @Test("a reboot in the guest starts it again, as a new run that counts as no restart")
    func reboot() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "reboot", "busybox")
        let before = try await host.bootID("reboot")
        _ = try await host.run("exec", "reboot", "--", "reboot")
        let machine = try await host.ready("reboot", generation: 2)
        #expect(machine.status.restarts == 0)
        #expect(try await host.bootID("reboot") != before)
        #expect(try host.machineProcesses(machine.id).count == 1)
    }

    @Test("a power-off in the guest stops the machine")
    func powerOff() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "off", "busybox")
        _ = try await host.run("exec", "off", "--", "poweroff")
        let machine = try await host.phase("off", "stopped")
        #expect(machine.status.lastEnd == "poweredOff")
        #expect(machine.status.runGeneration == 1)
        #expect(machine.status.lastError == nil)
    }

    @Test("a kernel panic is a crash: the machine has failed, says so, and its console shows why")
    func panic() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "panic", "busybox")
        _ = try await host.run("exec", "panic", "--", "sh", "-c", "echo c > /proc/sysrq-trigger")
        let machine = try await host.phase("panic", "failed")
        #expect(machine.status.lastEnd == "crashed")
        #expect(machine.status.lastError?.remedy?.contains("--console") == true)
        let console = try await host.succeed("logs", "--console", "panic").text
        #expect(console.contains("Kernel panic"), "\(console.suffix(500))")
    }

    @Test("after a panic the restart policy decides, and its limit holds")
    func panicPolicy() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "again", "--restart", "on-failure:1", "busybox")
        let crash = ["exec", "again", "--", "sh", "-c", "echo c > /proc/sysrq-trigger"]
        _ = try await host.run(crash)
        #expect(try await host.ready("again", generation: 2).status.restarts == 1)
        _ = try await host.run(crash)
        let machine = try await host.phase("again", "failed")
        #expect(machine.status.runGeneration == 2)
    }

    @Test("a VMM that is killed is a failure, told with its signal")
    func killedVMM() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "killed", "busybox")
        let pid = try #require(try await host.inspect("killed").status.pid)
        #expect(kill(pid, SIGKILL) == 0)
        let machine = try await host.phase("killed", "failed")
        #expect(machine.status.lastEnd == "vmmDied")
        #expect(machine.status.lastError?.message.contains("signal 9") == true)
        #expect(try host.machineProcesses(machine.id).isEmpty)
    }

    @Test("a VMM that is killed starts again where the policy wants that")
    func killedVMMPolicy() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "always", "--restart", "always", "busybox")
        let first = try #require(try await host.inspect("always").status.pid)
        #expect(kill(first, SIGKILL) == 0)
        let machine = try await host.ready("always", generation: 2)
        #expect(machine.status.restarts == 1)
        #expect(machine.status.pid != first)
        #expect(try host.machineProcesses(machine.id) == [machine.status.pid])
    }

    @Test("a VMM that stands still is stopped and deleted within the deadlines", arguments: ["stop", "rm"])
    func frozenVMM(_ verb: String) async throws {
        let host = try await TestHost.current()
        let name = "frozen-\(verb)"
        try await host.succeed("vm", "create", "--name", name, "busybox")
        let machine = try await host.inspect(name)
        let pid = try #require(machine.status.pid)
        #expect(kill(pid, SIGSTOP) == 0)
        let begin = ContinuousClock.now
        if verb == "stop" {
            try await host.succeed("vm", "stop", "--timeout", "3s", name)
            #expect(try await host.inspect(name).status.phase == "stopped")
        } else {
            try await host.succeed("vm", "rm", "-f", name)
            #expect(try await host.isGone(name))
        }
        let time = begin.duration(to: .now)
        #expect(time < .seconds(8), "\(time)")
        #expect(try host.machineProcesses(machine.id).isEmpty)
    }

    @Test("a machine that runs is deleted only with -f")
    func deletion() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "busy", "--wait", "running", "busybox")
        let refused = try await host.run("vm", "rm", "busy")
        #expect(refused.code == 4 && refused.isClearError, "\(refused)")
        let id = try await host.inspect("busy").id
        try await host.succeed("vm", "rm", "-f", "busy")
        #expect(try await host.isGone("busy"))
        #expect(!fileExists("\(host.root)/vms/\(id)"))
    }
}
