import CoveyModel
import Testing

/// An image with an init of its own. Building it takes a minute: a soak does it.
@Suite("Debian with systemd", .tags(.machine), .serialized, .host)
struct DebianTests {
    @Test("systemd comes up, execs are served, and its reboot and power-off are told apart")
    func systemd() async throws {
        guard Soak.isOn else { return }
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

    @Test("an agent that is killed takes nothing with it: its machine goes on, and is stopped and started in time")
    func agentDies() async throws {
        guard Soak.isOn else { return }
        let host = try await debian()
        try await host.succeed("vm", "create", "--name", "bare", "--memory", "512M", "debian", limit: .seconds(180))
        let before = try await host.inspect("bare")
        try await host.succeed("exec", "-d", "bare", "--", "sh", "-c", "kill -9 $PPID")
        let exec = try await host.run("exec", "bare", "--", "echo", "here", limit: .seconds(60))
        #expect(exec.text == "here\n" || (exec.code == 125 && exec.error.hasPrefix("error: ")), "\(exec)")
        #expect(try host.machineProcesses(before.id) == [before.status.pid])
        try await host.succeed("vm", "stop", "--timeout", "5s", "bare")
        #expect(try await host.inspect("bare").status.phase == "stopped")
        try await host.succeed("vm", "start", "bare", limit: .seconds(180))
        try await host.ready("bare", generation: 2)
        #expect(try await host.succeed("exec", "bare", "--", "echo", "here").text == "here\n")
        try await host.succeed("vm", "rm", "-f", "bare")
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
