import CoveyModel
import CoveySystem
import Testing

@Suite("The daemon with its state on etcd", .tags(.machine), .serialized)
struct EtcdStoreTests {
    @Test("machines come, go on over a daemon's death and an etcd's, and go; the doctor says what is wrong meanwhile")
    func life() async throws {
        let host = try await TestHost(store: .given)
        let etcd = try TestEtcd(host.folder)
        let client = etcd.client
        try host.configure("store: \(etcd.address())\n")
        try etcd.start()
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

            try await etcd.end()
            try await eventually("the doctor says that etcd is gone") {
                let outcome = try await host.run("doctor")
                return outcome.code == 0 && outcome.text.contains("not StoreWritable")
                    && outcome.text.contains("127.0.0.1:\(client)")
            }
            let refused = try await host.run("vm", "create", "--name", "two", "busybox")
            #expect(refused.code != 0 && refused.isClearError, "\(refused)")
            try etcd.start()
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

    private func finish(_ host: TestHost, _ etcd: TestEtcd) async throws {
        let left = await host.end()
        try await etcd.end()
        #expect(left.isEmpty)
    }
}
