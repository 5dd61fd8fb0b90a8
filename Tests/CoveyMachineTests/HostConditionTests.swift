import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("What the host lacks is said", .tags(.machine))
struct HostConditionTests {
    @Test("without a daemon each verb says so, with a remedy and its code")
    func noDaemon() async throws {
        try await TestHost.with(start: false) { host in
            for (arguments, code) in [
                (["ps"], 5), (["vm", "ls"], 5), (["vm", "create", "busybox"], 5), (["kernel", "import", "debian"], 5),
                (["run", "busybox", "--", "true"], 125), (["exec", "x", "--", "true"], 125),
            ] as [([String], Int32)] {
                let outcome = try await host.run(arguments)
                #expect(outcome.code == code, "\(arguments): \(outcome)")
                #expect(outcome.isClearError && outcome.error.contains("daemon"), "\(outcome)")
            }
        }
    }

    @Test("a user who may not use the socket is told so")
    func noPermission() async throws {
        try await TestHost.with { host in
            let outcome = try await runProgram(
                "setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", host.programs.covey, "ps"],
                environment: ["COVEY_HOST": host.socket])
            #expect(outcome.code == 5, "\(outcome)")
            #expect(outcome.isClearError, "\(outcome)")
        }
    }

    @Test("without a kernel a machine is refused, and nothing stays")
    func noKernel() async throws {
        try await TestHost.with { host in
            for (arguments, code) in [
                (["vm", "create", "busybox"], 3), (["run", "--rm", "busybox", "--", "true"], 125),
            ] as [([String], Int32)] {
                let outcome = try await host.run(arguments)
                #expect(outcome.code == code && outcome.error.contains("covey kernel import"), "\(outcome)")
                #expect(outcome.isClearError, "\(outcome)")
            }
            #expect(try await host.succeed("vm", "ls", "-q").text.isEmpty)
            #expect(try host.leftOfMachines().isEmpty)
        }
    }

    @Test("a missing QEMU is named, and nothing stays")
    func noQEMU() async throws {
        try await TestHost.with(configuration: "program:\n  qemu: /nosuch/qemu\n") { host in
            try await host.importKernel()
            let outcome = try await host.run("run", "--rm", "busybox", "--", "true")
            #expect(outcome.code == 125 && outcome.isClearError, "\(outcome)")
            #expect(outcome.error.lowercased().contains("qemu"), "\(outcome)")
            let created = try await host.run("vm", "create", "busybox")
            #expect(created.code == 1 && created.isClearError, "\(created)")
            #expect(try await host.succeed("vm", "ls", "-q").text.isEmpty)
            #expect(try host.leftOfMachines().isEmpty)
            #expect(try await host.succeed("doctor").text.contains("not available"))
        }
    }

    @Test("two daemons with roots of their own know nothing of each other, and machines may have the same name")
    func twoDaemons() async throws {
        try await TestHost.with { first in
            try await TestHost.with { second in
                for host in [first, second] {
                    try await host.importKernel()
                    try await host.succeed("vm", "create", "--name", "same", "busybox")
                }
                try await first.succeed("vm", "create", "--no-start", "--name", "mine", "busybox")
                #expect(try await second.isGone("mine"))
                let ours = try await first.inspect("same")
                let theirs = try await second.inspect("same")
                #expect(ours.id != theirs.id)
                #expect(ours.status.pid != theirs.status.pid)
                let boot = try await second.bootID("same")
                try await first.killDaemon()
                try await first.killGuard()
                try await first.start()
                try await first.succeed("vm", "rm", "-f", "same", "mine")
                #expect(try first.leftOfMachines().isEmpty)
                #expect(try await second.bootID("same") == boot)
                #expect(try await second.inspect("same").status.pid == theirs.status.pid)
            }
        }
    }

    @Test("a record that nobody can read is left as it is and reported; its machine runs on, and is ours again after")
    func corruptRecord() async throws {
        try await TestHost.with { host in
            try await host.importKernel()
            for name in ["hurt", "well"] { try await host.succeed("vm", "create", "--name", name, "busybox") }
            let before = try await host.inspect("hurt")
            let boot = try await host.bootID("hurt")
            try await host.killDaemon()
            let whole = try await host.exchangeRecord("vm/default/\(before.id)/status", with: "6e6f74206f757273")
            try await host.start()
            #expect(try await host.run("exec", "well", "--", "true").code == 0)
            let inspected = try await host.run("vm", "inspect", "hurt")
            #expect(inspected.code == 1 && inspected.isClearError, "\(inspected)")
            try await eventually("the doctor says what cannot be read") {
                let doctor = try await host.succeed("doctor").text
                return doctor.contains("not RecordsReadable: 1 cannot be read") && doctor.contains("\(before.id)")
            }
            #expect(try host.machineProcesses(before.id) == [before.status.pid])
            try await host.killDaemon()
            let kept = try await host.exchangeRecord("vm/default/\(before.id)/status", with: whole)
            #expect(kept == "6e6f74206f757273")
            try await host.start()
            #expect(try await host.ready("hurt").status.pid == before.status.pid)
            #expect(try await host.bootID("hurt") == boot)
            #expect(!(try await host.succeed("doctor").text.contains("RecordsReadable")))
        }
    }

    @Test("a second daemon of a root is refused, and the first one goes on")
    func secondDaemon() async throws {
        try await TestHost.with { host in
            // Nor where its state would lie elsewhere: the root's machines are the same.
            for store in [[], ["--store", "etcd://127.0.0.1:1"]] {
                let outcome = try await runProgram(host.programs.covey, ["daemon", "--root", host.root] + store)
                #expect(outcome.code == 4 && outcome.isClearError, "\(outcome)")
            }
            try await host.succeed("ps")
        }
    }
}

extension TestHost {
    /// Gives a key of the store, while no daemon runs, another value; hexadecimal. Returns the one before.
    fileprivate func exchangeRecord(_ key: String, with value: String) async throws -> String {
        if let etcd { return try await etcd.exchange(key, with: value) }
        let script = """
            import sqlite3, sys
            path, key, value = sys.argv[1:]
            store = sqlite3.connect(path)
            found = store.execute("SELECT id, value FROM version WHERE key = ? AND ended IS NULL", (key.encode(),))
            (row, old), = found.fetchall()
            store.execute("UPDATE version SET value = ? WHERE id = ?", (bytes.fromhex(value), row))
            store.commit()
            store.close()
            print(old.hex())
            """
        let outcome = try await runProgram("python3", ["-c", script, "\(root)/state/store.sqlite", key, value])
        guard outcome.code == 0, let old = outcome.lines.first else {
            throw CoveyError(.failure, "the record \(key) was not exchanged: \(outcome)")
        }
        return old
    }
}
