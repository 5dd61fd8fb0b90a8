import CoveyModel
import Testing

/// An image with an init of its own. Building it takes a minute: a soak does it.
@Suite("Debian with systemd", .tags(.machine), .serialized, .host)
struct DebianTests {
    @Test("systemd comes up, execs are served, and reboot, power-off and the agent's death are told apart")
    func systemd() async throws {
        guard Soak.isOn else { return }
        let host = try await TestHost.current()
        try await host.succeed("image", "build", "debian", limit: .seconds(600))
        try await host.succeed("vm", "create", "--name", "deb", "--memory", "512M", "debian", limit: .seconds(180))
        #expect(try await host.succeed("exec", "deb", "--", "cat", "/proc/1/comm").text == "systemd\n")
        try await eventually("systemd is up", within: .seconds(180)) {
            let state = try await host.run("exec", "deb", "--", "systemctl", "is-system-running").text
            return ["running\n", "degraded\n"].contains(state)
        }
        let boot = try await host.bootID("deb")

        let killed = try await host.succeed(
            "exec", "deb", "--", "sh", "-c", "for p in /proc/[0-9]*; do readlink $p/exe; done | sort | uniq -c")
        #expect(killed.text.contains("systemd"))
        _ = try await host.run("exec", "deb", "--", "sh", "-c", "kill -9 $PPID", limit: .seconds(60))
        try await eventually("the agent answers again", within: .seconds(120)) {
            try await host.run("exec", "deb", "--", "echo", "again", limit: .seconds(60)).text == "again\n"
        }
        #expect(try await host.bootID("deb") == boot)

        _ = try await host.run("exec", "deb", "--", "systemctl", "reboot")
        let again = try await host.ready("deb", generation: 2, within: .seconds(180))
        #expect(again.status.restarts == 0)
        #expect(try await host.bootID("deb") != boot)
        _ = try await host.run("exec", "deb", "--", "systemctl", "poweroff")
        let off = try await host.phase("deb", "stopped", within: .seconds(120))
        #expect(off.status.lastEnd == "poweredOff")
    }
}
