import CoveyModel
import CoveySystem
import Testing

@Suite("State is moved, backed up and restored", .tags(.machine), .serialized)
struct MoveTests {
    /// Runs a test with a host whose state is in its file, and an etcd beside it.
    private func withHost(_ body: (TestHost, TestEtcd) async throws -> Void) async throws {
        let host = try await TestHost(store: .given)
        let etcd = try TestEtcd(host.folder)
        var failure: (any Error)?
        do {
            try etcd.start()
            try await host.start()
            try await body(host, etcd)
        } catch { failure = error }
        let left = await host.end()
        try await etcd.end()
        #expect(left.isEmpty, "\(left)")
        if let failure { throw failure }
    }

    private func move(_ host: TestHost, to target: String, dyingAt point: String? = nil) async throws -> Outcome {
        try await runProgram(
            host.programs.covey, ["system", "move", "--to", target, "--root", host.root],
            environment: point.map { ["COVEY_FAULT_POINT": $0] } ?? [:])
    }

    /// The daemon's refusal of a store; it ends by itself.
    private func refusal(_ host: TestHost) async throws -> String {
        let before = try readFile(host.log).count
        try host.spawnDaemon()
        #expect(try await host.daemonEnded() != .exited(0))
        return String(decoding: try readFile(host.log).dropFirst(before), as: UTF8.self)
    }

    @Test("a machine runs on while its host's state goes from SQLite to etcd and back, killed at each phase")
    func thereAndBack() async throws {
        try await withHost { host, etcd in
            try await host.importKernel()
            try await host.succeed("vm", "create", "--name", "one", "--label", "a=b", "busybox", limit: .seconds(180))
            let before = try await host.ready("one")
            let boot = try await host.bootID("one")
            let running = try await move(host, to: etcd.address())
            #expect(running.code == 4 && running.isClearError, "\(running)")

            var (old, new) = ("sqlite", etcd.address())
            for round in 0..<2 {
                try await host.stopDaemon()
                for point in ["move.intended", "move.begun", "move.filled", "move.published"] {
                    #expect(try await move(host, to: new, dyingAt: point).code == 137, "\(point)")
                    // Nothing is decided yet: the new one is refused, the old one goes on.
                    try host.configure("store: \(new)\n")
                    #expect(try await refusal(host).contains("kept in \(old)"), "\(point)")
                    try host.configure("store: \(old)\n")
                    try await host.start()
                    #expect(try await host.inspect("one").status.pid == before.status.pid)
                    try await host.stopDaemon()
                }
                for point in ["move.committed", "move.left"] {
                    if point == "move.left" {
                        // Back to before, so that this phase is reached, too.
                        #expect(try await move(host, to: new).code == 0)
                        try host.configure("store: \(new)\n")
                        let back = try await move(host, to: old)
                        #expect(back.code == 0, "\(back)")
                        try host.configure("store: \(old)\n")
                    }
                    #expect(try await move(host, to: new, dyingAt: point).code == 137, "\(point)")
                    #expect(try await refusal(host).contains("kept in \(new)"), "\(point)")
                }
                let done = try await move(host, to: new)
                #expect(done.code == 0 && done.text.contains(new), "\(done)")
                try host.configure("store: \(new)\n")
                try await host.start()
                let after = try await host.ready("one")
                #expect(after.status.pid == before.status.pid && after.id == before.id, "round \(round)")
                #expect(try await host.bootID("one") == boot)
                #expect(try await host.succeed("doctor").text.contains(new == "sqlite" ? "store.sqlite" : new))
                #expect(try await host.succeed("doctor", "--leaks", "-q").text.isEmpty)
                swap(&old, &new)
            }
            // Each store knows that it is not the truth any more, also where the root's record is gone.
            try await host.stopDaemon()
            try removeFile("\(host.root)/state/store.json")
            try host.configure("store: \(etcd.address())\n")
            #expect(try await refusal(host).contains("kept in sqlite"))
            try host.configure("")
            try await host.start()
            #expect(try await host.bootID("one") == boot)
        }
    }

    @Test(
        "a backup taken while machines come and go is restored into a new root and into an etcd, and refused elsewhere")
    func backup() async throws {
        try await withHost { host, etcd in
            try await host.importKernel()
            try await host.succeed("vm", "create", "--name", "one", "--no-start", "busybox", limit: .seconds(120))
            let file = "\(host.folder)/backup"
            try await host.succeed("system", "backup", file)
            #expect(try FileFacts(file).mode == 0o600)
            #expect(!fileExists("\(file).partial"))
            try await host.succeed("vm", "rm", "-f", "one")
            func restore(_ arguments: String...) async throws -> Outcome {
                try await runProgram(
                    host.programs.covey, ["system", "restore", file, "--root", host.root] + arguments)
            }
            #expect(try await restore().code == 4)
            try await host.stopDaemon()
            let full = try await restore()
            #expect(full.code == 4 && full.error.contains("--replace"), "\(full)")
            for point in ["restore.begun", "restore.filled"] {
                let killed = try await runProgram(
                    host.programs.covey, ["system", "restore", file, "--root", host.root, "--replace"],
                    environment: ["COVEY_FAULT_POINT": point])
                #expect(killed.code == 137)
                #expect(try await refusal(host).contains("not whole"), "\(point)")
            }
            let whole = try await restore("--replace")
            #expect(whole.code == 0, "\(whole)")
            try await host.start()
            #expect(try await host.succeed("vm", "ls", "-q").lines == ["one"])
            try await host.stopDaemon()

            // The same into an etcd.
            let elsewhere = try await restore("--store", etcd.address())
            #expect(elsewhere.code == 4 && elsewhere.error.contains("kept in sqlite"), "\(elsewhere)")
            let there = try await restore("--store", etcd.address(), "--replace")
            #expect(there.code == 0, "\(there)")
            try host.configure("store: \(etcd.address())\n")
            try await host.start()
            #expect(try await host.succeed("vm", "ls", "-q").lines == ["one"])
            try await host.stopDaemon()

            // Damaged, newer and foreign files touch nothing.
            var bytes = try readFile(file)
            bytes[bytes.count / 2] ^= 1
            try writeFileAtomically(file, bytes)
            let damaged = try await restore("--replace", "--store", etcd.address())
            #expect(damaged.code != 0 && damaged.isClearError && damaged.error.contains("damaged"), "\(damaged)")
            try await host.start()
            #expect(try await host.succeed("vm", "ls", "-q").lines == ["one"])
            try await host.succeed("vm", "rm", "-f", "one")
        }
    }
}
