import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("The daemon with an etcd member of its own", .tags(.machine), .serialized)
struct OwnMemberTests {
    private func members(_ host: TestHost) throws -> [HostProcess] {
        let instance = try host.instance() ?? "-"
        return try HostProcess.all().filter { $0.program == "etcd" && $0.groups.contains("/covey-\(instance)/") }
    }

    /// The words of `covey doctor` about the store's troubles.
    private func troubles(_ host: TestHost) async throws -> [String] {
        try await host.succeed("doctor").lines.filter { $0.hasPrefix("not Store") }
    }

    @Test(
        "it is started once, unprivileged, goes on without the daemon, is started again after its end, and is backed up"
    )
    func life() async throws {
        let host = try await TestHost(configuration: "store: etcd\n", store: .given)
        var failure: (any Error)?
        do {
            try await host.start()
            let member = try #require(try members(host).first)
            let status = try readText("/proc/\(member.pid)/status").split(separator: "\n")
            #expect(status.contains { $0.hasPrefix("CapEff:") && $0.hasSuffix("0000000000000000") })
            #expect(!status.contains { $0.hasPrefix("Uid:\t0\t") } && status.contains("NoNewPrivs:\t1"))
            let folder = "\(host.root)/state/etcd"
            for path in ["", "/data", "/pki"] { #expect(try FileFacts(folder + path).mode == 0o700) }
            for name in ["ca", "member", "client"] {
                #expect(try FileFacts("\(folder)/pki/\(name).key").mode == 0o600)
            }
            try await host.succeed("volume", "create", "data", "--size", "16M")
            try await eventually("a snapshot was taken") {
                try listFolder("\(folder).snapshots").contains { $0.hasSuffix(".db") }
            }

            // The daemon goes; the member does not, and is the next one's.
            try await host.killDaemon()
            try await host.start()
            #expect(try members(host).map(\.pid) == [member.pid])
            #expect(try await host.succeed("volume", "ls", "-q").lines == ["data"])

            // The member goes; the daemon says so and brings it back with all that it knew.
            kill(member.pid, SIGKILL)
            try await eventually("another one runs") {
                let now = try members(host).map(\.pid)
                return now.count == 1 && now != [member.pid]
            }
            try await eventually("it serves", within: .seconds(60)) {
                try await host.run("volume", "ls", "-q").lines == ["data"]
            }
            try await eventually("nothing is wrong any more", within: .seconds(120)) {
                try await troubles(host).isEmpty
            }

            // Both go.
            try await host.killDaemon()
            for member in try members(host) { kill(member.pid, SIGKILL) }
            try await host.start()
            #expect(try await host.succeed("volume", "ls", "-q").lines == ["data"])

            // Its state goes elsewhere while it runs.
            try await host.stopDaemon()
            let moved = try await runProgram(
                host.programs.covey, ["system", "move", "--to", "sqlite", "--root", host.root])
            #expect(moved.code == 0, "\(moved)")
            try host.configure("store: sqlite\n")
            try await host.start()
            #expect(try await host.succeed("volume", "ls", "-q").lines == ["data"])

            // And back, also where the member does not run.
            try await host.stopDaemon()
            for member in try members(host) { kill(member.pid, SIGKILL) }
            let back = try await runProgram(
                host.programs.covey, ["system", "move", "--to", "etcd", "--root", host.root])
            #expect(back.code == 0, "\(back)")
            try host.configure("store: etcd\n")
            try await host.start()
            try await host.succeed("volume", "rm", "data")
        } catch { failure = error }
        if failure != nil { for member in try members(host) { kill(member.pid, SIGKILL) } }
        try await host.stopDaemon()
        try await end(host)
        try host.configure("store: sqlite\n")
        // What is looked at now is the host alone; the state has gone with its member.
        for name in ["store.json", "store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
            try removeFile("\(host.root)/state/\(name)")
        }
        let left = await host.end()
        #expect(left.isEmpty, "\(left)")
        if let failure { throw failure }
    }

    /// Ends the member as an operator does.
    private func end(_ host: TestHost) async throws {
        let outcome = try await runProgram(host.programs.covey, ["system", "uninstall", "--root", host.root])
        #expect(outcome.code == 0, "\(outcome)")
        #expect(try members(host).isEmpty)
    }
}
