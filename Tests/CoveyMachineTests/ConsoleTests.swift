import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite(
    "A guest that says too much", .tags(.machine), .serialized, .host("console:\n  limit: 256K\n"))
struct ConsoleTests {
    private static let limit: Int64 = 256 << 10
    private static let time = Duration.seconds(Soak.count(10, soak: 60))

    @Test("yes on the console fills no disk, with a daemon or without, and the machine answers all the time")
    func console() async throws {
        let host = try await TestHost.current()
        try await host.succeed("vm", "create", "--name", "loud", "busybox")
        let before = try await host.inspect("loud")
        let boot = try await host.bootID("loud")
        try await host.succeed("exec", "-d", "loud", "--", "sh", "-c", "exec yes covey-console > /dev/console")
        let logs = "\(host.root)/vms/\(before.id)/logs"
        try await watch(for: Self.time) {
            let answer = try await host.run("exec", "loud", "--", "echo", "here", limit: .seconds(30))
            #expect(answer.text == "here\n", "\(answer)")
            return try consoleBytes(logs)
        }
        let shown = try await host.succeed("logs", "--console", "loud")
        #expect(shown.text.contains("covey-console"))
        try await host.killDaemon()
        try await watch(for: Self.time / 2) { try consoleBytes(logs) }
        #expect(try host.machineProcesses(before.id) == [before.status.pid])
        try await host.start()
        #expect(try await host.bootID("loud") == boot)
        try await host.succeed("vm", "rm", "-f", "loud")
    }

    @Test("yes as a machine's program fills no disk either, and is stopped like any other")
    func program() async throws {
        let host = try await TestHost.current()
        try await host.succeed("run", "-d", "--name", "stream", "busybox", "--", "yes", "covey-output")
        let id = try await host.ready("stream").id
        let journal = "\(host.root)/vms/\(id)/logs/exec-main"
        var largest: Int64 = 0
        try await watch(for: Self.time) {
            largest = max(largest, try bytes(below: journal))
            return 0
        }
        #expect(largest > 1 << 20, "\(largest)")
        #expect(largest < 24 << 20, "\(largest)")
        try await host.succeed("vm", "stop", "--timeout", "3s", "stream")
        try await host.succeed("vm", "rm", "stream")
    }

    private func watch(for time: Duration, _ size: () async throws -> Int64) async throws {
        let end = ContinuousClock.now + time
        while ContinuousClock.now < end {
            let bytes = try await size()
            #expect(bytes <= Self.limit + (64 << 10), "the console has grown to \(bytes) bytes")
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    private func consoleBytes(_ logs: String) throws -> Int64 {
        try listFolder(logs).filter { $0.hasPrefix("console") }.reduce(0) { $0 + size("\(logs)/\($1)") }
    }

    private func bytes(below folder: String) throws -> Int64 {
        guard fileExists(folder) else { return 0 }
        return try listFolder(folder).reduce(0) { $0 + size("\(folder)/\($1)") }
    }

    /// A file that was rotated away while it is looked at counts nothing.
    private func size(_ path: String) -> Int64 {
        var information = stat()
        return stat(path, &information) == 0 ? Int64(information.st_size) : 0
    }
}
