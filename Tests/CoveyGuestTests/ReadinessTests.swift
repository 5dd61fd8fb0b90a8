import CoveyGuestProtocol
import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite struct ReadinessTests {
    private func configure(_ agent: AgentHarness, _ probe: Probe) async throws -> any GuestSession {
        let session = try await agent.connect()
        try await session.configure(
            GuestConfiguration(hostname: "h", purpose: .idle, readiness: .probe(probe)))
        return session
    }

    /// The reasons that the guest gives until it is ready.
    private func reasons(_ session: any GuestSession, until enough: (String) -> Void = { _ in }) async -> [String] {
        var reasons: [String] = []
        for await event in session.events {
            if case .notReady(let why) = event {
                reasons.append(why)
                enough(why)
            }
            if event == .ready { return reasons }
        }
        return reasons + ["the session ended"]
    }

    private func port(_ socket: Int32) throws -> UInt16 { try boundEndpoint(socket).port }

    @Test("a program that succeeds makes the machine ready, after its failures were told once each")
    func exec() async throws {
        try await withAgent { agent in
            let mark = "\(agent.folder)/ready"
            let probe = Probe(.exec(["/bin/sh", "-c", "test -e \(mark) || exit 7"]), period: .milliseconds(100))
            let session = try await configure(agent, probe)
            let reasons = await reasons(session) { _ in
                do { try writeFileAtomically(mark, [], mode: 0o600) } catch {}
            }
            #expect(reasons == ["\(probe.action): exit code 7"])
            await session.close()
            let again = try await agent.connect()
            #expect(again.hello.ready)
            await again.close()
        }
    }

    @Test("a program that hangs is ended and counts as a failure")
    func hangs() async throws {
        try await withAgent { agent in
            let mark = "\(agent.folder)/once"
            let script = "test -e \(mark) && exit 0; : > \(mark); exec sleep 1000"
            let probe = Probe(
                .exec(["/bin/sh", "-c", script]), period: .milliseconds(100), timeout: .milliseconds(300))
            let session = try await configure(agent, probe)
            #expect(await reasons(session) == ["\(probe.action): no answer within 300ms"])
            await session.close()
        }
    }

    @Test("a port that takes connections makes the machine ready")
    func tcp() async throws {
        try await withAgent { agent in
            let address = try #require(IPAddress("127.0.0.1"))
            let free = try listenTCP(SocketEndpoint(address, port: 0))
            let number = try port(free.raw)
            try free.close()
            let session = try await configure(agent, Probe(.tcp(port: number), period: .milliseconds(100)))
            var listener: Int32 = -1
            let reasons = await reasons(session) { _ in
                guard listener < 0 else { return }
                do { listener = try listenTCP(SocketEndpoint(address, port: number)).release() } catch {}
            }
            #expect(reasons == ["tcp:\(number): nobody listens"])
            close(listener)
            await session.close()
        }
    }

    @Test("an HTTP server is ready when it says so, and not while it answers with a failure")
    func http() async throws {
        try await withAgent { agent in
            let address = try #require(IPAddress("127.0.0.1"))
            let listener = try listenTCP(SocketEndpoint(address, port: 0))
            let number = try port(listener.raw)
            let raw = listener.raw
            let answers = ["HTTP/1.1 503 No\r\n\r\n", "nonsense\n", "HTTP/1.1 204 Yes\r\n\r\n"]
            let server = Task {
                var asked: [String] = []
                for answer in answers {
                    try await agent.reactor.readable(raw)
                    guard let taken = try acceptTCP(raw) else { continue }
                    let stream = try ByteStream(taken, reactor: agent.reactor)
                    asked.append(String(decoding: try await stream.read(), as: UTF8.self))
                    try await stream.write(Array(answer.utf8))
                    stream.shutdown()
                }
                return asked
            }
            let probe = Probe(.http(port: number, path: "/live"), period: .milliseconds(100))
            let session = try await configure(agent, probe)
            #expect(
                await reasons(session) == [
                    "http:\(number)/live: HTTP status 503", "http:\(number)/live: its answer is no HTTP",
                ])
            #expect(try await server.value.allSatisfy { $0.hasPrefix("GET /live HTTP/1.1\r\nHost: localhost:") })
            await session.close()
            _ = consume listener
        }
    }

    @Test("what a machine waits for survives the way to the guest", arguments: ["exec:a b", "tcp:1", "http:2/x"])
    func wire(_ text: String) throws {
        let probe = try #require(Probe(text))
        var configuration = GuestConfiguration(purpose: .idle, readiness: .probe(probe))
        #expect(try decoded(configuration) == configuration)
        configuration.readiness = .initSystem
        #expect(try decoded(configuration) == configuration)
    }

    private func decoded(_ configuration: GuestConfiguration) throws -> GuestConfiguration? {
        guard
            case .configure(let decoded) = try GuestRequest.decode(
                GuestRequest.configure(configuration).encoded(number: 1)
            ).request
        else { return nil }
        return decoded
    }
}
