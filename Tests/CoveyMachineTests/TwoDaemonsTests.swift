import CoveyModel
import CoveySystem
import FoundationEssentials
import Testing

@Suite("Several daemons with their state in one etcd", .tags(.machine), .serialized)
struct TwoDaemonsTests {
    /// Two hosts and what they share.
    private struct Pair: Sendable {
        let etcd: TestEtcd
        let first: TestHost
        let second: TestHost
    }

    /// A host whose daemon has a node name.
    private static func host(_ name: String, _ etcd: TestEtcd) async throws -> TestHost {
        try await TestHost(configuration: "store: \(etcd.address())\nnode:\n  name: \(name)\n", store: .given)
    }

    private func with(_ body: (Pair) async throws -> Void) async throws {
        let folder = "/tmp/cvy-m-\(UInt32.random(in: .min ... .max))"
        try makeFolder(folder)
        let etcd = try TestEtcd(folder)
        let pair = Pair(etcd: etcd, first: try await Self.host("one", etcd), second: try await Self.host("two", etcd))
        var failure: (any Error)?
        do {
            try etcd.start()
            try await pair.first.start()
            try await pair.second.start()
            try await body(pair)
        } catch { failure = error }
        if failure != nil, pair.second.daemon == nil { try await pair.second.start() }
        // The first one's end removes the machines of both.
        var left = await pair.first.end()
        left += await pair.second.end()
        try await etcd.end()
        try removeTree(folder)
        #expect(left.isEmpty, "\(left)")
        if let failure { throw failure }
    }

    /// The names of the nodes, ready or not.
    private func nodes(_ host: TestHost) async throws -> [String: Bool] {
        struct Item: Decodable {
            struct Metadata: Decodable { var name: String }
            struct Status: Decodable { var conditions: [MachineView.Status.Condition] }
            var metadata: Metadata
            var status: Status
        }
        let bytes = try await host.succeed("node", "ls", "-o", "json").bytes
        let items = try JSONDecoder().decode(ItemList<Item>.self, from: Data(bytes)).items
        return Dictionary(
            uniqueKeysWithValues: items.map { item in
                (item.metadata.name, item.status.conditions.contains { $0.type == "Ready" && $0.state == "true" })
            })
    }

    @Test("each carries out its own machines, both see all, and the end of one leaves the other and its machines alone")
    func life() async throws {
        try await with { pair in
            let (first, second) = (pair.first, pair.second)
            #expect(try await nodes(first) == ["one": true, "two": true])
            try await first.importKernel()

            // What only the first has is refused for the second's machines, by name, before anything is made.
            let refused = try await second.run("vm", "create", "--name", "b", "busybox")
            #expect(refused.code == 4 && refused.isClearError && refused.error.contains("node one"), "\(refused)")
            try await second.succeed(
                "kernel", "import", "--name", "second", second.programs.kernelPackage, limit: .seconds(180))

            // One name over both: one of the two has it, every time.
            for round in 0..<6 {
                let name = "same-\(round)"
                async let left = first.run("vm", "create", "--no-start", "--name", name, "busybox")
                async let right = second.run("vm", "create", "--no-start", "--name", name, "busybox")
                let codes = try await [left, right].map(\.code).sorted()
                #expect(codes == [0, 4])
                // Whose daemon it is makes no difference to its deletion.
                try await (round % 2 == 0 ? first : second).succeed("vm", "rm", "-f", name)
            }

            try await first.succeed("vm", "create", "--name", "a", "busybox", limit: .seconds(120))
            try await second.succeed("vm", "create", "--name", "b", "busybox", limit: .seconds(120))
            for host in [first, second] {
                #expect(try await host.succeed("ps", "-q").lines.sorted() == ["a", "b"])
                #expect(try await host.succeed("ps").text.contains(" NODE "))
                #expect(try await host.succeed("doctor", "--leaks", "-q").lines.isEmpty)
                #expect(try await host.succeed("image", "prune", "--all").code == 0)
                #expect(try await host.run("image", "rm", "busybox").code == 4)
            }
            let (a, b) = (try await second.inspect("a"), try await first.inspect("b"))
            #expect(a.status.node != nil && b.status.node != nil && a.status.node != b.status.node)
            #expect(try listFolder("\(first.root)/vms") == [a.id])
            #expect(try listFolder("\(second.root)/vms") == [b.id])

            // What needs the other node says which it is; what is written is carried out there.
            for words in [["exec", "b", "--", "true"], ["logs", "--console", "b"], ["vm", "ports", "b"]] {
                let outcome = try await first.run(words)
                #expect(outcome.error.contains("node two") || words[0] == "vm", "\(words) \(outcome)")
                #expect(outcome.code != 0 || words[0] == "vm")
            }
            try await first.succeed("vm", "stop", "b", limit: .seconds(60))
            #expect(try second.machineProcesses(b.id).isEmpty)
            try await first.succeed("vm", "start", "b", limit: .seconds(120))
            let running = try await first.ready("b")

            // A third daemon of the first one's name is told so; the first one comes back at once after its death.
            let third = try await Self.host("one", pair.etcd)
            try third.spawnDaemon()
            #expect(try await third.daemonEnded() == .exited(4))
            #expect(try third.logTail().contains("the node name one is another daemon's"))
            // It has begun nothing: no guard, no machine, no mount.
            #expect(try third.guards().isEmpty)
            try removeTree(third.folder)
            try await first.killDaemon()
            #expect(try await second.succeed("exec", "b", "--", "echo", "on").text == "on\n")
            try await first.start()
            #expect(try await first.ready("a").status.pid == a.status.pid)

            // The second one is gone for longer: its machine runs on, and its node is said to be silent.
            try await second.killDaemon()
            try await eventually("the first says that the second is silent", within: .seconds(60)) {
                try await nodes(first) == ["one": true, "two": false]
            }
            #expect(try await first.succeed("exec", "a", "--", "echo", "on").text == "on\n")
            #expect(try await first.inspect("b").status.pid == running.status.pid)
            #expect(try second.machineProcesses(b.id) != [])
            try await second.start()
            #expect(try await second.ready("b").status.pid == running.status.pid)

            // Each removes the other's machine; then the image, wherever it came to lie.
            try await first.succeed("vm", "rm", "-f", "b", limit: .seconds(60))
            try await second.succeed("vm", "rm", "-f", "a", limit: .seconds(60))
            #expect(try first.machineProcesses(a.id).isEmpty)
            #expect(try second.machineProcesses(b.id).isEmpty)
            try await second.succeed("image", "rm", "busybox", limit: .seconds(60))
            try await eventually("no content of the image is left on either") {
                for host in [first, second] {
                    let lines = try await host.succeed("system", "df").lines.map { $0.split(separator: " ") }
                    guard lines.contains(where: { $0.prefix(2) == ["images", "0"] }) else { return false }
                }
                return true
            }
        }
    }

    @Test("state that several daemons keep in one store is moved and replaced by none of them")
    func shared() async throws {
        try await with { pair in
            let first = pair.first
            try await first.succeed("system", "backup", "\(first.folder)/backup")
            try await first.stopDaemon()
            for words in [
                ["system", "move", "--to", "sqlite"], ["system", "restore", "--replace", "\(first.folder)/backup"],
            ] {
                let outcome = try await runProgram(first.programs.covey, words + ["--root", first.root])
                #expect(outcome.code == 4 && outcome.isClearError && outcome.error.contains("node two"), "\(outcome)")
            }
            #expect(try await pair.second.succeed("node", "ls", "-q").lines == ["one", "two"])
            try await first.start()
        }
    }

    @Test("a daemon waits for an etcd that is down at its start, and goes on after one that goes down under it")
    func outage() async throws {
        let folder = "/tmp/cvy-m-\(UInt32.random(in: .min ... .max))"
        try makeFolder(folder)
        let etcd = try TestEtcd(folder)
        let host = try await Self.host("one", etcd)
        var failure: (any Error)?
        do {
            try host.spawnDaemon()
            try await eventually("it says that it waits") { try host.logTail().contains("the daemon waits for it") }
            let early = try await host.run("ps")
            #expect(early.code == 5 && early.isClearError, "\(early)")
            try etcd.start()
            try await eventually("it serves") { try await host.run("ps").code == 0 }
            try await host.importKernel()
            try await host.succeed("vm", "create", "--name", "web", "busybox", limit: .seconds(120))
            let before = try await host.ready("web")
            let daemon = host.daemon

            try await etcd.end()
            // Longer than any call waits: each of the daemon's own has failed at least once.
            let calls = [["ps"], ["vm", "stop", "web"], ["vm", "create", "busybox"], ["volume", "ls"]]
            try await withThrowingTaskGroup(of: Void.self) { group in
                for words in calls {
                    group.addTask {
                        let outcome = try await host.run(words, limit: .seconds(80))
                        #expect(outcome.code == 5 && outcome.isClearError, "\(words) \(outcome)")
                    }
                }
                try await group.waitForAll()
            }
            #expect(try host.machineProcesses(before.id) == [try #require(before.status.pid)])

            try etcd.start()
            try await eventually("the store serves again") { try await host.run("ps").code == 0 }
            #expect(try host.reaped() == nil)
            #expect(host.daemon == daemon && daemon != nil)
            #expect(try await host.ready("web").status.pid == before.status.pid)
            #expect(try await host.succeed("exec", "web", "--", "echo", "on").text == "on\n")
            // All that is followed is followed again: machines, images, kernels, volumes, operations.
            try await host.succeed("volume", "create", "data", "--size", "16M")
            try await host.succeed("volume", "rm", "data")
            try await host.succeed("vm", "rm", "-f", "web", limit: .seconds(60))
            try await host.succeed("image", "rm", "busybox")
            for name in try await host.succeed("kernel", "ls", "-q").lines {
                try await host.succeed("kernel", "rm", name)
            }
            #expect(host.daemon == daemon)
        } catch { failure = error }
        if failure != nil {
            try await etcd.end()
            try etcd.start()
        }
        let left = await host.end()
        try await etcd.end()
        try removeTree(folder)
        #expect(left.isEmpty, "\(left)")
        if let failure { throw failure }
    }
}
