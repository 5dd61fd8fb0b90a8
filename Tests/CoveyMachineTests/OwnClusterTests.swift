import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("Three daemons whose own members are one etcd", .tags(.machine), .serialized)
struct OwnClusterTests {
    private func members(_ host: TestHost) throws -> [HostProcess] {
        let instance = try host.instance() ?? "-"
        return try HostProcess.all().filter { $0.program == "etcd" && $0.groups.contains("/covey-\(instance)/") }
    }

    private func phase(_ host: TestHost) throws -> String {
        let path = "\(host.root)/state/etcd/member.json"
        guard fileExists(path) else { return "none" }
        let text = try readText(path)
        for phase in ["joining", "adding", "learner", "voting", "removed"] where text.contains("\"phase\":\"\(phase)\"")
        {
            return phase
        }
        return "voting"
    }

    private func offline(_ host: TestHost, _ arguments: String...) async throws -> Outcome {
        try await runProgram(host.programs.covey, ["system"] + arguments + ["--root", host.root])
    }

    @Test(
        "they join one after the other, killed at a step or not; calls go on without any one; quorum lost is recovered")
    func life() async throws {
        var hosts: [TestHost] = []
        for _ in 0..<3 { hosts.append(try await TestHost(store: .given)) }
        var failure: (any Error)?
        do { try await live(hosts) } catch { failure = error }
        for host in hosts {
            if failure != nil { print("daemon of \(host.root): \(try host.logTail())") }
            try await host.stopDaemon()
        }
        for host in hosts {
            if try await offline(host, "uninstall").code != 0 {
                // After a failure others may be gone: it ends as the last one.
                _ = try await offline(host, "restore", "--survivor")
                _ = try await offline(host, "uninstall")
            }
            try host.configure("store: sqlite\n")
            for name in ["store.json", "store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
                try removeFile("\(host.root)/state/\(name)")
            }
            let left = await host.end()
            #expect(left.isEmpty, "\(left)")
        }
        if let failure { throw failure }
    }

    private func live(_ hosts: [TestHost]) async throws {
        let ports = try (0..<3).map { _ in try freePort() }
        let authority = "\(hosts[0].folder)/authority"
        for (index, host) in hosts.enumerated() {
            var text =
                "node:\n  name: host-\(index)\nstore: etcd\netcd:\n  listen: 127.0.0.\(index + 2):\(ports[index])\n"
            if index > 0 { text += "  join: 127.0.0.2:\(ports[0])\n  authority: \(authority)\n" }
            try host.configure(text)
        }
        try await hosts[0].start()
        try makeFolder(authority)
        for name in ["ca.pem", "ca.key"] {
            try writeFileAtomically("\(authority)/\(name)", try readFile("\(hosts[0].root)/state/etcd/pki/\(name)"))
        }
        // The second one's daemon is killed between its add and its start, and between start and promotion.
        for point in ["join.added", "join.started"] {
            try hosts[1].spawnDaemon(faultPoint: point)
            #expect(try await hosts[1].daemonEnded() == .signalled(SIGKILL), "\(point)")
        }
        for host in hosts.dropFirst() {
            try await host.start()
            try await eventually("its member votes", within: .seconds(120)) { try phase(host) == "voting" }
        }
        try await hosts[0].succeed("volume", "create", "one", "--size", "16M")
        #expect(try await hosts[2].succeed("volume", "ls", "-q").lines == ["one"])
        // What they knew before is all that they have when they come back.
        for host in hosts.dropLast() {
            try await eventually("it knows the third one") {
                try readText("\(host.root)/state/etcd/member.json").contains("127.0.0.4:\(ports[2])")
            }
        }
        // One goes: calls on all daemons go on, and it comes back. The soak takes any.
        for host in getenv("COVEY_SOAK") == nil ? Array(hosts.prefix(1)) : hosts {
            let member = try #require(try members(host).first)
            kill(member.pid, SIGKILL)
            for (index, other) in hosts.enumerated() {
                try await eventually("calls on daemon \(index)", within: .seconds(60)) {
                    try await other.run("volume", "ls", "-q").lines == ["one"]
                }
            }
            try await eventually("it is back", within: .seconds(60)) {
                try members(host).count == 1 && members(host).first?.pid != member.pid
            }
        }
        // Two are gone for good: the third goes on alone.
        for host in hosts.dropLast() {
            try await host.killDaemon()
            for member in try members(host) { kill(member.pid, SIGKILL) }
        }
        try await hosts[2].stopDaemon()
        let last = try #require(try members(hosts[2]).first)
        let refused = try await offline(hosts[2], "uninstall")
        #expect(refused.code != 0 && refused.isClearError && refused.error.contains("quorum"), "\(refused)")
        let recovered = try await offline(hosts[2], "restore", "--survivor")
        #expect(recovered.code == 0, "\(recovered)")
        #expect(try members(hosts[2]).first?.pid != last.pid)
        try await hosts[2].start()
        #expect(try await hosts[2].succeed("volume", "ls", "-q").lines == ["one"])
        // Those of before are not let in, say so, and join as new ones.
        try await hosts[1].start()
        #expect(try phase(hosts[1]) == "removed")
        try await hosts[1].stopDaemon()
        try await hosts[0].start()
        let doctor = try await hosts[0].succeed("doctor").text
        #expect(doctor.contains("not StoreMember") && doctor.contains("system uninstall"), "\(doctor)")
        try await hosts[0].stopDaemon()
        let left = try await offline(hosts[0], "uninstall")
        #expect(left.code == 0 && left.text.contains("data.aside-1"), "\(left)")
        try await hosts[0].start()
        try await eventually("it votes again", within: .seconds(120)) { try phase(hosts[0]) == "voting" }
        try await hosts[0].succeed("volume", "rm", "one")
    }
}
