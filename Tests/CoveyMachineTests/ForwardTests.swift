import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("Ports of a machine without a network are reached through the guest", .tags(.machine), .host)
struct ForwardTests {
    /// Runs `body` with a forward of any port of this host, and ends it. Returns its exit code.
    private func forwarding(
        _ host: TestHost, _ machine: String, _ remote: String, _ body: (UInt16, Child) async throws -> Void
    ) async throws {
        let log = "\(host.folder)/forward-\(UInt32.random(in: .min ... .max)).log"
        let forward = try Child(
            [host.programs.covey, "port-forward", machine, "0:\(remote)"], environment: ["COVEY_HOST": host.socket],
            log: log)
        var port: UInt16?
        try await eventually("the forward listens") {
            let text = fileExists(log) ? String(decoding: try readFile(log), as: UTF8.self) : ""
            port = text.split(separator: " ").first.flatMap { $0.split(separator: ":").last }.flatMap { UInt16($0) }
            return text.contains("-> \(machine):\(remote)") && port != nil
        }
        do { try await body(port ?? 0, forward) } catch {
            try forward.send(SIGKILL)
            throw error
        }
        try forward.send(SIGINT)
        try await eventually("the forward ends") { try forward.ending() != nil }
    }

    @Test("a server answers, many connections at once too, a port without one resets, and a new daemon serves on")
    func server() async throws {
        let host = try await TestHost.current()
        let serve = "mkdir /w && echo welcome > /w/index.html && exec httpd -f -p 127.0.0.1:80 -h /w"
        try await host.succeed("run", "-d", "--name", "web", "busybox", "--", "sh", "-c", serve)
        try await host.ready("web")
        try await forwarding(host, "web", "80") { port, _ in
            let get = "curl -s --max-time 20 http://127.0.0.1:\(port)/"
            try await eventually("the server answers") { try await runProgram("sh", ["-c", get]).text == "welcome\n" }
            let many = try await runProgram(
                "sh", ["-c", "for i in $(seq 40); do (\(get)) & done | sort | uniq -c; wait"])
            #expect(many.text.split(separator: " ").first == "40", "\(many)")
            try await host.killDaemon()
            try await host.start()
            try await host.ready("web")
            try await eventually("the server answers through the new daemon") {
                try await runProgram("sh", ["-c", get]).text == "welcome\n"
            }
        }
        try await forwarding(host, "web", "81") { port, _ in
            let refused = try await runProgram("curl", ["-sS", "--max-time", "20", "http://127.0.0.1:\(port)/"])
            // 56: reset; 52: nothing came.
            #expect([56, 52].contains(refused.code), "\(refused)")
        }
        #expect(try await host.run("port-forward", "nobody", "0:80").code == 3)
    }
}
