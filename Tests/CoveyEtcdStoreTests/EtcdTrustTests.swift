internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Testing

@Suite("Certificates of members of etcd", .serialized, .timeLimit(.minutes(5)))
struct EtcdTrustTests {
    /// The serial number of the certificate that a member shows.
    private func shown(_ host: MemberHost, port: Int) async throws -> String {
        let pki = host.authority
        let script =
            "openssl s_client -connect \(host.address):\(port) -CAfile \(pki)/ca.pem -cert \(pki)/client.pem "
            + "-key \(pki)/client.key </dev/null 2>/dev/null | openssl x509 -noout -serial"
        return try await tool("sh", ["-c", script])
    }

    @Test("certificates that end in seconds are renewed while members run, for clients and among members")
    func renewal() async throws {
        try await withHosts(2) { hosts in
            var times = EtcdMember.Times.short
            times.certificates = .seconds(6)
            let start = ContinuousClock.now
            try await hosts[0].start(times: times)
            let first = (
                try await shown(hosts[0], port: hosts[0].port), try await shown(hosts[0], port: hosts[0].port + 1)
            )
            try await hosts[1].start(joining: [hosts[0]], times: times)
            try await hosts[1].votes()
            // Those that they began with have ended by then.
            try await eventually { start.duration(to: .now) > .seconds(8) }
            let pids = hosts.map(\.supervisor.pid)
            #expect(try await shown(hosts[0], port: hosts[0].port) != first.0)
            #expect(try await shown(hosts[0], port: hosts[0].port + 1) != first.1)
            // Each takes new connections of the other one: neither can write alone.
            try await hosts[1].crash()
            try await eventually { hosts[1].supervisor.pid != pids[1] && hosts[1].supervisor.pid != nil }
            let fresh = try await EtcdStore.reached(try #require(try hosts[0].folder.address()))
            try await fresh.keep("t/a")
            #expect(try await fresh.get("t/a") != nil)
            await fresh.close()
            #expect(hosts[0].supervisor.pid == pids[0])
        }
    }

    @Test("an authority gives way to another one, member by member, and writes go on")
    func authority() async throws {
        try await withHosts(3) { hosts in
            try await hosts[0].start()
            for host in hosts.dropFirst() {
                try await host.start(joining: [hosts[0]])
                try await host.votes()
            }
            let folder = "\(hosts[0].place)/authority"
            try makeFolder(folder)
            let script = """
                cd \(folder); umask 077; cp \(hosts[0].authority)/ca.pem old.pem; cp \(hosts[0].authority)/ca.key old.key
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout new.key \
                    -out new.pem -subj /CN=new -addext basicConstraints=critical,CA:TRUE 2>/dev/null
                """
            _ = try await tool("sh", ["-ec", script])
            let stages = [("old.pem new.pem", "old.key"), ("old.pem new.pem", "new.key"), ("new.pem", "new.key")]
            for (stage, (bundle, key)) in stages.enumerated() {
                _ = try await tool("sh", ["-ec", "cd \(folder); umask 077; cat \(bundle) > ca.pem; cp \(key) ca.key"])
                for host in hosts {
                    await host.stop()
                    try await host.start(authority: folder)
                }
                for host in hosts {
                    let trusted = try await tool("sha256sum", ["\(host.authority)/ca.pem"])
                    try await eventually {
                        try host.folder.load()?.trusted != nil && host.troubles.isEmpty
                            && trusted.hasPrefix(try host.folder.load()?.trusted ?? "-")
                    }
                    try await host.store.keep("t/\(stage)")
                }
            }
            // All were started twice more: with both authorities, and with the new one alone.
            #expect(hosts.allSatisfy { $0.supervisor.starts == 3 }, "\(hosts.map(\.supervisor.starts))")
        }
    }
}
