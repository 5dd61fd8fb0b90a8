import CoveyAPI
import CoveyClient
import CoveyModel
import CoveyServer
import CoveyStore
import CoveySystem
import Glibc
import Synchronization
import Testing

@Suite struct AccessTests {
    /// Refuses what changes anything, and remembers who asked.
    final class ReadersOnly: Authorizer {
        let asked = Mutex<[(caller: Caller, permission: Permission, tenant: Tenant?)]>([])

        func authorize(_ caller: Caller, _ permission: Permission, tenant: Tenant?) async throws {
            asked.withLock { $0.append((caller, permission, tenant)) }
            guard permission.verb == .read else { throw CoveyError(.denied, "\(caller) may only read") }
        }
    }

    @Test("every method has a rule, and no rule is for a method that is not there")
    func rules() throws {
        let methods = Set(try APIDescriptors().methods.map(\.path))
        #expect(methods.count > 30)
        #expect(methods.subtracting(MethodRules.table.keys) == [])
        #expect(Set(MethodRules.table.keys).subtracting(methods) == [])
    }

    @Test("every request within a tenant carries it, and every mutation a request id")
    func scopes() throws {
        // The first message of these streams carries it one level down.
        let wrapped: Set = [
            "ExecRequest", "AttachRequest", "ConsoleRequest", "ImportKernelRequest", "RegisterImageRequest",
            "UnpackRequest", "DialRequest", "OpenShellRequest",
        ]
        for method in try APIDescriptors().methods {
            guard case .tenant(let permission) = MethodRules.table[method.path] else { continue }
            let name = method.input.split(separator: ".").last.map { String($0) } ?? ""
            if wrapped.contains(name) { continue }
            #expect(method.inputFields.contains("tenant"), "\(method.path)")
            if permission.verb != .read && permission.verb != .use {
                #expect(method.inputFields.contains("request_id"), "\(method.path)")
            }
        }
    }

    @Test("the caller is the socket's peer, whatever the client says")
    func peer() async throws {
        let authorizer = ReadersOnly()
        try await TestServer.with(authorizer: authorizer) { test in
            _ = try await test.call { try await $0.listMachines() }
            let asked = authorizer.asked.withLock { $0 }
            #expect(asked.map(\.caller) == [Caller(uid: getuid())])
            #expect(asked.map(\.permission) == [Permission(.vm, .read)])
            #expect(asked.first?.tenant == .standard)
        }
    }

    @Test("a caller without the permission is denied and changes nothing")
    func denied() async throws {
        try await TestServer.with(authorizer: ReadersOnly()) { test in
            try await test.addKernel()
            let error = await failure {
                try await test.call { try await $0.createMachine(MachineRequest(image: "busybox")) }
            }
            #expect(error?.code == .denied)
            #expect(try await test.repositories.machines.list().items.isEmpty)
            #expect(try await test.repositories.images.list().items.isEmpty)
        }
    }

    @Test("a caller that calls too often is told so")
    func rateLimit() async throws {
        try await TestServer.with(limit: RateLimit(perSecond: 0.001, burst: 3)) { test in
            let error = await failure {
                try await test.call { client in
                    for _ in 0..<4 { _ = try await client.version() }
                }
            }
            #expect(error?.code == .exhausted)
            #expect(test.server.counters.snapshot["covey.v1.Monitoring/Version"]?.failed == [.exhausted: 1])
        }
    }

    @Test("buckets fill with time and are one a caller")
    func buckets() throws {
        var buckets = TokenBuckets(RateLimit(perSecond: 2, burst: 2))
        let first = Caller(uid: 1)
        try buckets.take(first, at: .zero)
        try buckets.take(first, at: .zero)
        #expect(throws: CoveyError.self) { try buckets.take(first, at: .milliseconds(400)) }
        try buckets.take(Caller(uid: 2), at: .milliseconds(400))
        try buckets.take(first, at: .milliseconds(500))
    }

    @Test("a request id that is no printable text is invalid, and so is a tenant that is no label")
    func badScope() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            try await test.call { client in
                #expect((await failure { try await client.stopMachine("web", requestID: "a b") })?.code == .invalid)
            }
            let foreign = await failure {
                try await CoveyClient.connect(to: test.endpoint, tenant: "Not a label") { try await $0.listMachines() }
            }
            #expect(foreign?.code == .invalid)
            let other = try await CoveyClient.connect(to: test.endpoint, tenant: "other") { client in
                try await client.listMachines()
            }
            #expect(other.isEmpty)
        }
    }

    @Test("a request of 8 MiB passes, one above the limit is refused")
    func bigMessages() async throws {
        try await TestServer.with { test in
            try await test.addMachine("web")
            for (size, code) in [(8 << 20, ErrorCode.invalid), (17 << 20, .exhausted)] {
                let error = await failure {
                    try await test.call { client in
                        try await client.exec(
                            "web", Program(arguments: [String(repeating: "x", count: size)])
                        ) { _ in }
                    }
                }
                // The first one is read and refused for its content.
                #expect(error?.code == code || (code == .exhausted && error?.code == .unavailable), "\(size)")
                #expect(error != nil)
            }
        }
    }
}

@Suite struct SocketTests {
    private func scratch() throws -> String {
        let folder = "/tmp/cvy-api-\(getpid())-\(UInt32.random(in: .min ... .max))"
        try makeFolder(folder)
        return folder
    }

    @Test("the socket has mode 0660 and its group from its first instant at its place")
    func mode() throws {
        let folder = try scratch()
        let socket = try ListeningSocket(path: "\(folder)/s.sock", group: getgid())
        var information = stat()
        #expect(lstat("\(folder)/s.sock", &information) == 0)
        #expect(information.st_mode & 0o777 == 0o660)
        #expect(information.st_gid == getgid())
        #expect(try listFolder(folder) == ["s.sock", "s.sock.lock"])
        try socket.remove()
        #expect(try listFolder(folder) == ["s.sock.lock"])
        try removeTree(folder)
    }

    @Test("a second daemon on one path is refused, and the first goes on")
    func second() async throws {
        try await TestServer.with { test in
            let other = try await TestServer(
                folder: parentFolder(test.settings.socket), limit: RateLimit(), authorizer: SocketAuthorizer())
            let error = await failure { try await other.server.run() }
            #expect(error?.code == .conflict)
            #expect(try await test.call { try await $0.version() }.version == "1.2.3")
        }
    }

    @Test("a socket that was left behind is replaced")
    func stale() throws {
        let folder = try scratch()
        do { _ = try listenUnix("\(folder)/s.sock") }
        #expect(CoveyClient.unreachable(DaemonEndpoint(socket: "\(folder)/s.sock"))?.code == .unavailable)
        let socket = try ListeningSocket(path: "\(folder)/s.sock", group: nil)
        #expect(CoveyClient.unreachable(DaemonEndpoint(socket: "\(folder)/s.sock")) == nil)
        try socket.remove()
        try removeTree(folder)
    }

    @Test("a path that is too long is invalid, with what to do")
    func longPath() throws {
        let path = "/tmp/" + String(repeating: "x", count: 120)
        do {
            let socket = try ListeningSocket(path: path, group: nil)
            try socket.remove()
            Issue.record("the path is longer than the kernel takes")
        } catch let error as CoveyError {
            #expect(error.code == .invalid)
            #expect(error.remedy != nil)
        }
    }

    @Test("no daemon is unavailable, with what to do")
    func noDaemon() async {
        let error = await failure {
            try await CoveyClient.connect(to: DaemonEndpoint(socket: "/tmp/cvy-api-nobody.sock")) {
                try await $0.version()
            }
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message == "the covey daemon is not running at unix:/tmp/cvy-api-nobody.sock")
        #expect(error?.remedy?.contains("covey daemon") == true)
    }
}
