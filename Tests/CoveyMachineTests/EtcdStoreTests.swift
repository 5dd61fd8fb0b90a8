import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("The daemon with its state on etcd", .tags(.machine), .serialized)
struct EtcdStoreTests {
    @Test("machines come, go on over a daemon's death and an etcd's, and go; the doctor says what is wrong meanwhile")
    func life() async throws {
        let (client, peer) = (try freePort(), try freePort())
        let host = try await TestHost(configuration: "store: etcd://127.0.0.1:\(client)/test\n")
        let arguments = [
            "/usr/bin/etcd", "--name", "m", "--data-dir", "\(host.folder)/etcd", "--log-level", "warn", "--logger",
            "zap",
            "--listen-client-urls", "http://127.0.0.1:\(client)", "--advertise-client-urls",
            "http://127.0.0.1:\(client)", "--listen-peer-urls", "http://127.0.0.1:\(peer)",
            "--initial-advertise-peer-urls", "http://127.0.0.1:\(peer)", "--initial-cluster",
            "m=http://127.0.0.1:\(peer)",
        ]
        func start() throws -> Child { try Child(arguments, log: "\(host.folder)/etcd.log") }
        var etcd = try start()
        do {
            try await host.start()
            try await host.importKernel()
            try await host.succeed("vm", "create", "--name", "one", "busybox", limit: .seconds(180))
            #expect(try await host.succeed("exec", "one", "--", "echo", "hi").text == "hi\n")
            #expect(try await host.succeed("doctor").text.contains("etcd://127.0.0.1:\(client)/test"))
            #expect(!fileExists("\(host.root)/state/store.sqlite"))
            let before = try await host.ready("one")
            let boot = try await host.bootID("one")

            try await host.killDaemon()
            try await host.start()
            #expect(try await host.ready("one").status.pid == before.status.pid)

            try etcd.send(SIGKILL)
            _ = try await etcd.end(within: .seconds(30))
            try await eventually("the doctor says that etcd is gone") {
                let outcome = try await host.run("doctor")
                return outcome.code == 0 && outcome.text.contains("not StoreWritable")
                    && outcome.text.contains("127.0.0.1:\(client)")
            }
            let refused = try await host.run("vm", "create", "--name", "two", "busybox")
            #expect(refused.code != 0 && refused.isClearError, "\(refused)")
            etcd = try start()
            try await eventually("the store serves again") { try await host.run("ps", "-q").code == 0 }
            #expect(try await host.bootID("one") == boot)
            #expect(try await host.inspect("one").status.pid == before.status.pid)

            // The daemon's watches have come back too: it hears of what is wanted.
            try await host.succeed("vm", "rm", "-f", "one", limit: .seconds(180))
            #expect(try await host.isGone("two"))
            #expect(try host.machineProcesses(before.id).isEmpty)
            #expect(try listFolder("\(host.root)/vms").isEmpty)
        } catch {
            try await finish(host, etcd)
            throw error
        }
        try await finish(host, etcd)
    }

    private func finish(_ host: TestHost, _ etcd: Child) async throws {
        let left = await host.end()
        #expect(left.isEmpty)
        if try etcd.ending() == nil {
            try etcd.send(SIGKILL)
            _ = try await etcd.end(within: .seconds(30))
        }
    }

    /// A port of loopback that nobody listens on.
    private func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, size) == 0 && getsockname(descriptor, pointer, &size) == 0
            }
        }
        guard bound else { throw SystemError("bind", "a port of loopback") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
