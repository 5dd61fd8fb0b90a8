import CoveyModel
import CoveySystem
import FoundationEssentials
import Glibc
import Testing

@Suite("What happens is told", .tags(.machine), .host)
struct EventTests {
    private struct Listing: Decodable {
        struct Item: Decodable {
            var reason: String
            var message: String
            var count: Int
        }
        var items: [Item]
    }

    private func events(_ host: TestHost, _ name: String) async throws -> [Listing.Item] {
        let text = try await host.succeed("events", "--vm", name, "-o", "json")
        return try JSONDecoder().decode(Listing.self, from: Data(text.bytes)).items
    }

    @Test("a machine's life is in its events, also after it is gone, and a crash is counted")
    func life() async throws {
        let host = try await TestHost.current()
        try await host.succeed("run", "--name", "short", "busybox", "--", "true")
        try await host.phase("short", "stopped")
        let life = try await events(host, "short").map(\.reason)
        #expect(life == ["created", "scheduled", "started", "ready", "stopped"], "\(life)")
        try await host.succeed("vm", "rm", "short")
        try await eventually("it is gone") { try await host.isGone("short") }
        #expect(try await events(host, "short").last?.reason == "deleted")

        try await host.succeed(
            "vm", "create", "--name", "flap", "--restart", "on-failure", "busybox")
        let first = try await host.ready("flap")
        for pid in try host.machineProcesses(first.id) { kill(pid, 9) }
        try await host.ready("flap", generation: first.status.runGeneration + 1)
        let flap = try await events(host, "flap")
        #expect(flap.contains { $0.reason == "crashed" && $0.count == 1 }, "\(flap)")
        #expect(flap.contains { $0.reason == "restarting" && $0.message.hasPrefix("restart 1 after") }, "\(flap)")
        #expect(flap.contains { $0.reason == "started" && $0.count == 2 }, "\(flap)")
        let table = try await host.succeed("events", "--reason", "crashed", "--since", "10m").text
        #expect(table.contains("vm flap") && !table.contains("vm short"))
    }
}
