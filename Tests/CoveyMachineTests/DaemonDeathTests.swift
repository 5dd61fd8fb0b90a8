import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("Machines go on without daemon and guard", .tags(.machine), .serialized, .host)
struct DaemonDeathTests {
    @Test("an exec and its machine go on while the daemon is killed, and no line of its output is lost or doubled")
    func execGoesOn() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "writer", "busybox")
        let before = try await host.inspect("writer")
        let boot = try await host.bootID("writer")
        let script = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); usleep 20000; done; exit 6"
        let exec = try #require(
            try await host.succeed("exec", "-d", "writer", "--", "sh", "-c", script).lines.first)
        async let attached = host.run("exec", "writer", "--", "sh", "-c", script)
        try await eventually("some lines came") { try await host.run("logs", "writer/\(exec)").lines.count > 20 }
        try await eventually("both run") { try await host.succeed("exec", "ls", "writer", "-q").lines.count == 2 }
        try await host.killDaemon()
        #expect(try host.machineProcesses(before.id) == [before.status.pid])
        try await host.start()
        let logs = try await host.succeed("logs", "-f", "writer/\(exec)")
        #expect(logs.lines == (0..<300).map { "line \($0)" }, "\(logs.lines.count) lines")
        let relayed = try await attached
        #expect(relayed.code == 6 && relayed.error.isEmpty, "\(relayed)")
        #expect(relayed.lines == (0..<300).map { "line \($0)" }, "\(relayed.lines.count) lines")
        let after = try await host.inspect("writer")
        #expect(after.status.pid == before.status.pid)
        #expect(after.status.runGeneration == before.status.runGeneration)
        #expect(try await host.bootID("writer") == boot)
        #expect(try await host.succeed("exec", "ls", "writer", "-o", "json").text.contains("\"exitCode\": 6"))
        try await host.succeed("vm", "rm", "-f", "writer")
    }

    @Test("the output and code of a machine's program that ended without a daemon are there afterwards")
    func programEnds() async throws {
        let host = try await TestHost.current()
        let script = "echo first; sleep 4; echo last; exit 8"
        try await host.succeed("run", "-d", "--name", "ender", "busybox", "--", "sh", "-c", script)
        let id = try await host.ready("ender").id
        try await host.killDaemon()
        try await Task.sleep(for: .seconds(5))
        try await host.start()
        let machine = try await host.phase("ender", "stopped")
        #expect(machine.status.exitCode == 8)
        #expect(machine.status.lastEnd == "programExited")
        #expect(try await host.succeed("logs", "ender").text == "first\nlast\n")
        #expect(try host.machineProcesses(id).isEmpty)
        try await host.succeed("vm", "rm", "ender")
    }

    @Test("--rm is done by the daemon, also when client and daemon died in between")
    func removal() async throws {
        let host = try await TestHost.current()
        async let client = host.run("run", "--rm", "--name", "orphan", "busybox", "--", "sleep", "6")
        try await eventually("the machine is ready") {
            guard try await !host.isGone("orphan") else { return false }
            return try await host.inspect("orphan").isReady
        }
        let id = try await host.inspect("orphan").id
        try await host.killDaemon()
        #expect(try await client.code == 125)
        try await host.start()
        try await host.succeed("vm", "wait", "orphan", "--for", "deleted", "--timeout", "60s")
        #expect(try await host.isGone("orphan"))
        #expect(!fileExists("\(host.root)/vms/\(id)"))
        #expect(try host.machineProcesses(id).isEmpty)
    }

    @Test("a guard that is killed is followed by another, and machines are neither interrupted nor lost")
    func guardDies() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "guarded", "busybox")
        let before = try await host.inspect("guarded")
        let boot = try await host.bootID("guarded")
        let first = try host.guards()
        try await host.killGuard()
        #expect(try await host.bootID("guarded") == boot)
        try await host.succeed("vm", "create", "--name", "later", "busybox")
        #expect(try host.guards().count == 1)
        #expect(try host.guards() != first)
        #expect(try await host.inspect("guarded").status.pid == before.status.pid)
        try await host.succeed("vm", "stop", "guarded")
        #expect(try await host.inspect("guarded").status.phase == "stopped")
        #expect(try host.machineProcesses(before.id).isEmpty)
        try await host.succeed("vm", "rm", "-f", "guarded", "later")
    }

    @Test("a VMM that ended while neither daemon nor guard looked is found, and the policy is followed")
    func nobodyLooks() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "alone", "--restart", "on-failure", "busybox")
        try await host.succeed("vm", "create", "--name", "never", "busybox")
        let alone = try await host.inspect("alone")
        let never = try await host.inspect("never")
        try await host.killDaemon()
        try await host.killGuard()
        for machine in [alone, never] { #expect(kill(try #require(machine.status.pid), SIGKILL) == 0) }
        try await host.start()
        #expect(try await host.phase("never", "failed").status.lastEnd == "vmmDied")
        let again = try await host.ready("alone", generation: 2)
        #expect(try host.machineProcesses(alone.id) == [again.status.pid])
        #expect(try host.machineProcesses(never.id).isEmpty)
        try await host.succeed("vm", "rm", "-f", "alone", "never")
    }

    @Test("a daemon that is stopped in order leaves its machines running, and a client hears why")
    func orderlyStop() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "on", "busybox")
        let before = try await host.inspect("on")
        #expect(try await host.stopDaemon() == .exited(0))
        let unavailable = try await host.run("ps")
        #expect(unavailable.code == 5 && unavailable.isClearError, "\(unavailable)")
        #expect(try host.machineProcesses(before.id) == [before.status.pid])
        try await host.start()
        let after = try await host.ready("on")
        #expect(after.status.pid == before.status.pid)
        try await host.succeed("vm", "rm", "-f", "on")
    }
}
