import CoveyModel
import Testing

/// An image with an init of its own, built once.
@Suite("Debian with systemd", .tags(.machine), .serialized, .host)
struct DebianTests {
    @Test("systemd comes up, execs are served, and its reboot and power-off are told apart")
    func systemd() async throws {
        let host = try await debian()
        try await host.succeed("vm", "create", "--name", "deb", "--memory", "512M", "debian", limit: .seconds(180))
        try await systemIsUp(host, "deb")
        #expect(try await host.succeed("exec", "deb", "--", "cat", "/proc/1/comm").text == "systemd\n")
        let boot = try await host.bootID("deb")
        try await host.succeed("exec", "-d", "deb", "--", "systemctl", "reboot")
        let again = try await host.ready("deb", generation: 2, within: .seconds(180))
        #expect(again.status.restarts == 0)
        #expect(try await host.bootID("deb") != boot)
        try await systemIsUp(host, "deb")
        try await host.succeed("exec", "-d", "deb", "--", "systemctl", "poweroff")
        let off = try await host.phase("deb", "stopped", within: .seconds(120))
        #expect(off.status.lastEnd == "poweredOff")
        try await host.succeed("vm", "rm", "deb")
    }

    @Test("an agent that is killed takes its programs with it, says so, and is followed by another one")
    func agentDies() async throws {
        let host = try await debian()
        try await host.succeed("vm", "create", "--name", "bare", "--memory", "512M", "debian", limit: .seconds(180))
        let before = try await host.inspect("bare")
        let boot = try await host.bootID("bare")
        let killer = try await host.run("exec", "bare", "--", "sh", "-c", "echo before; kill -9 $PPID; sleep 1000")
        #expect(killer.code == 125, "\(killer)")
        #expect(killer.text == "before\n")
        #expect(killer.error == "covey: the guest agent has ended, and with it the way to this program\n")
        #expect(try await host.succeed("exec", "bare", "--", "echo", "here").text == "here\n")
        #expect(try await host.bootID("bare") == boot)
        #expect(try host.machineProcesses(before.id) == [before.status.pid])
        #expect(try await host.inspect("bare").status.conditions.map(\.type) == ["Ready"])
        try await host.succeed("vm", "rm", "-f", "bare")
    }

    @Test("a guest that lost its agent for good goes on, says so, and is stopped and started in time")
    func agentIsLost() async throws {
        let host = try await debian()
        try await host.succeed("vm", "create", "--name", "lost", "--memory", "512M", "debian", limit: .seconds(180))
        let before = try await host.inspect("lost")
        let keeper = "kill -9 $(awk '/^PPid/ { print $2 }' /proc/$PPID/status) $PPID; sleep 1000"
        let killer = try await host.run("exec", "lost", "--", "sh", "-c", keeper)
        #expect(killer.code == 125, "\(killer)")
        let conditions = try await host.inspect("lost").status.conditions
        #expect(conditions.contains { $0.type == "GuestReachable" && $0.state == "false" })
        #expect(try host.machineProcesses(before.id) == [before.status.pid])
        try await host.succeed("vm", "stop", "--timeout", "2s", "lost")
        #expect(try await host.inspect("lost").status.phase == "stopped")
        try await host.succeed("vm", "start", "lost", limit: .seconds(180))
        try await host.ready("lost", generation: 2)
        #expect(try await host.succeed("exec", "lost", "--", "echo", "here").text == "here\n")
        try await host.succeed("vm", "rm", "-f", "lost")
    }

    private func systemIsUp(_ host: TestHost, _ name: String) async throws {
        try await eventually("systemd is up in \(name)", within: .seconds(180)) {
            let state = try await host.run("exec", name, "--", "systemctl", "is-system-running").text
            return ["running\n", "degraded\n"].contains(state)
        }
    }

    /// The suite's host with the image, built once.
    private func debian() async throws -> TestHost {
        let host = try await TestHost.current()
        if try await host.run("image", "inspect", "debian").code != 0 {
            try await host.succeed("image", "build", "debian", limit: .seconds(600))
        }
        return host
    }
}
