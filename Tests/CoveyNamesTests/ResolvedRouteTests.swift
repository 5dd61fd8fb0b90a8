import CoveyModel
import CoveyNames
import CoveySystem
import Synchronization
import Testing

@Suite struct ResolvedRouteTests {
    /// A host's files below a folder, with resolved running or not.
    private func withHost(
        running: Bool = true, linkServers: Bool = true, _ body: (String) async throws -> Void
    ) async throws {
        let root = "/tmp/covey-names-\(UInt64.random(in: .min ... .max))"
        try makeFolder("\(root)/etc/systemd")
        if running { try makeFolder("\(root)/run/systemd/resolve/netif") }
        if linkServers { try write("\(root)/run/systemd/netif/links/2", "ADMIN_STATE=configured\nDNS=10.0.0.1\n") }
        do { try await body(root) } catch {
            try removeTree(root)
            throw error
        }
        try removeTree(root)
    }

    private func write(_ path: String, _ text: String) throws {
        try makeFolder(parentFolder(path))
        try writeFileAtomically(path, Array(text.utf8))
    }

    private func route(
        _ root: String, version: Int? = 252, port: UInt16 = 5354,
        reload: @escaping @Sendable () async throws -> Void = {}
    ) throws -> ResolvedRoute {
        ResolvedRoute(
            to: SocketEndpoint(try address("127.0.0.153"), port: port), instance: try #require(InstanceID("0123abcd")),
            root: root,
            version: version, reload: reload)
    }

    @Test("an old resolved is told by a drop-in of ours, once, and removing it leaves the files as they were")
    func dropIn() async throws {
        try await withHost { root in
            let reloads = Mutex(0)
            let route = try route(root) { reloads.withLock { $0 += 1 } }
            #expect(route.status() == .absent)
            try await route.install()
            let path = "\(root)/etc/systemd/resolved.conf.d/covey-0123abcd.conf"
            #expect(try readText(path).hasSuffix("\n[Resolve]\nDNS=127.0.0.153:5354\nDomains=~vm\n"))
            #expect(route.status() == .installed)
            try await route.install()
            #expect(reloads.withLock { $0 } == 1)
            // Another port: our own servers are no foreign ones.
            let moved = try self.route(root, port: 5355) { reloads.withLock { $0 += 1 } }
            #expect(moved.status() == .stale)
            try await moved.install()
            #expect(moved.status() == .installed && reloads.withLock { $0 } == 2)
            try await moved.remove()
            try await moved.remove()
            #expect(reloads.withLock { $0 } == 3)
            #expect(try listFolder("\(root)/etc/systemd/resolved.conf.d").isEmpty)
        }
    }

    @Test("resolved from version 258 on is told by a delegate, whatever else it knows")
    func delegate() async throws {
        try await withHost(linkServers: false) { root in
            try write("\(root)/etc/systemd/resolved.conf", "[Resolve]\nDNS=10.0.0.1\n")
            let route = try route(root, version: 258)
            try await route.install()
            let path = "\(root)/etc/systemd/dns-delegate.d/covey-0123abcd.dns-delegate"
            #expect(try readText(path).hasSuffix("\n[Delegate]\nDNS=127.0.0.153:5354\nDomains=~vm\n"))
            #expect(route.status() == .installed)
            try await route.remove()
            #expect(!fileExists(path))
        }
    }

    @Test("where the old form would take other names along, nothing is written and the reason is said")
    func refused() async throws {
        try await withHost { root in
            let other = "\(root)/etc/systemd/resolved.conf.d/corp.conf"
            try write(other, "[Resolve]\n#DNS=1.1.1.1\nDNS = 10.0.0.1\n")
            let route = try route(root)
            let error = await #expect(throws: CoveyError.self) { try await route.install() }
            #expect(error?.code == .unsupported && error?.message.contains("corp.conf names global servers") == true)
            #expect(error?.remedy?.contains("server=/vm/127.0.0.153#5354") == true)
            try writeFileAtomically(other, Array("[Resolve]\n#DNS=1.1.1.1\nDNS=\n".utf8))
            #expect(route.status() == .absent)
        }
        try await withHost(linkServers: false) { root in
            let route = try route(root)
            guard case .refused(let reason) = route.status() else {
                Issue.record("it is not refused")
                return
            }
            #expect(reason.contains("no link has servers"))
            try write("\(root)/run/systemd/resolve/netif/3", "LLMNR=yes\nSERVERS=10.0.0.1\n")
            #expect(route.status() == .absent)
        }
        try await withHost(running: false) { root in
            let route = try route(root)
            #expect(route.status() == .notRunning)
            await #expect(throws: CoveyError.self) { try await route.install() }
            try await route.remove()
        }
    }

    @Test("a resolved that does not read the file leaves none behind")
    func failedReload() async throws {
        try await withHost { root in
            let route = try route(root) { throw CoveyError(.failure, "no bus") }
            let error = await #expect(throws: CoveyError.self) { try await route.install() }
            #expect(error?.message.contains("no bus") == true)
            #expect(route.status() == .absent)
        }
    }

    @Test("systemd's version is read, and nothing else is taken for one")
    func version() {
        #expect(ResolvedRoute.version(in: "systemd 252 (252.39-1~deb12u1)\n+PAM") == 252)
        #expect(ResolvedRoute.version(in: "systemd 258~rc2 (258~rc2)") == 258)
        #expect(ResolvedRoute.version(in: "") == nil)
        #expect(ResolvedRoute.version(in: "upstart 1") == nil)
    }
}
