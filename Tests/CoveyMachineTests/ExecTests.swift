import CoveyModel
import CoveySystem
import Testing

@Suite("Programs in a machine that runs", .tags(.machine), .host)
struct ExecTests {
    @Test("10 MB of standard input come back from a program byte for byte")
    func largeInput() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "pipe", "busybox")
        var generator = SystemRandomNumberGenerator()
        let sent = (0..<(10_000_000 / 8)).flatMap { _ in withUnsafeBytes(of: generator.next()) { Array($0) } }
        let outcome = try await host.run("exec", "-i", "pipe", "--", "cat", input: sent)
        #expect(outcome.code == 0, "\(outcome.error)")
        let isSame = outcome.bytes == sent
        #expect(isSame, "\(outcome.bytes.count) bytes came back")
    }

    @Test("environment, working directory, user, streams and exit code are those of the call")
    func call() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "call", "--env", "BASE=machine", "busybox")
        let outcome = try await host.run(
            "exec", "--env", "A=b c", "--workdir", "/tmp", "--user", "nobody", "call", "--", "sh", "-c",
            "echo $A; echo $BASE; pwd; id -un; echo oh >&2; exit 9")
        #expect(outcome.code == 9)
        #expect(outcome.lines == ["b c", "machine", "/tmp", "nobody"])
        #expect(outcome.error == "oh\n")
        #expect(try await host.run("exec", "call", "--", "sh", "-c", "kill -TERM $$").code == 143)
        #expect(try await host.run("exec", "call", "--", "nosuch").code == 127)
        #expect(try await host.run("exec", "call", "--", "/etc/passwd").code == 126)
        let user = try await host.run("exec", "--user", "nosuch", "call", "--", "true")
        #expect([125, 126].contains(user.code) && user.error.contains("nosuch"), "\(user)")
    }

    @Test("a signal reaches the machine's program, which decides how it ends")
    func signal() async throws {
        let host = try await TestHost.current()
        let script = "trap 'echo got it; exit 9' USR1; echo up; while :; do sleep 1; done"
        try await host.succeed("run", "-d", "--name", "signalled", "busybox", "--", "sh", "-c", script)
        try await host.ready("signalled")
        try await eventually("the program is up") { try await host.run("logs", "signalled").text == "up\n" }
        try await host.succeed("vm", "kill", "--signal", "USR1", "signalled")
        let machine = try await host.phase("signalled", "stopped")
        #expect(machine.status.exitCode == 9)
        #expect(try await host.succeed("logs", "signalled").text == "up\ngot it\n")
    }

    @Test("an exec that was started with -d is listed, followed, and known after its end")
    func detached() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "listed", "busybox")
        let started = try await host.succeed(
            "exec", "-d", "listed", "--", "sh", "-c", "echo a; sleep 2; echo b; exit 5")
        let id = try #require(started.lines.first)
        #expect(try await host.succeed("exec", "ls", "listed").text.contains(id))
        let logs = try await host.succeed("logs", "-f", "listed/\(id)")
        #expect(logs.text == "a\nb\n")
        let list = try await host.succeed("exec", "ls", "listed", "-o", "json").text
        #expect(list.contains("\"exitCode\": 5"), "\(list)")
    }

    @Test("an exec in a machine that is not there or does not run is refused with a remedy")
    func refused() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--no-start", "--name", "still", "busybox")
        for name in ["still", "nosuch"] {
            let outcome = try await host.run("exec", name, "--", "true")
            #expect(outcome.code == 125 && outcome.isClearError, "\(outcome)")
        }
    }

    @Test("8 machines that are made at once all come up and answer")
    func eight() async throws {
        let host = try await TestHost.current()
        let names = (1...8).map { "many-\($0)" }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for name in names {
                group.addTask {
                    _ = try await host.succeed("vm", "create", "--name", name, "busybox", limit: .seconds(180))
                }
            }
            try await group.waitForAll()
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for name in names {
                group.addTask {
                    let answer = try await host.succeed("exec", name, "--", "hostname").text
                    #expect(answer == "\(name)\n")
                }
            }
            try await group.waitForAll()
        }
        let boots = try await names.asyncMap { try await host.bootID($0) }
        #expect(Set(boots).count == 8)
        let removal = try await host.run(["vm", "rm", "-f"] + names)
        #expect(removal.code == 0, "\(removal)")
    }
}

extension Sequence {
    /// Maps one after the other.
    func asyncMap<T>(_ transform: (Element) async throws -> T) async rethrows -> [T] {
        var result: [T] = []
        for element in self { result.append(try await transform(element)) }
        return result
    }
}
