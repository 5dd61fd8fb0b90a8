import CoveyGuestProtocol
import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite struct DialTests {
    /// A server on loopback that answers each connection by `body`, until the test ends.
    private func serving(
        _ agent: AgentHarness, _ body: @escaping @Sendable (ByteStream) async throws -> Void,
        _ test: (UInt16) async throws -> Void
    ) async throws {
        let loopback = try #require(IPAddress("127.0.0.1"))
        let descriptor = try listenTCP(SocketEndpoint(loopback, port: 0))
        let port = try boundEndpoint(descriptor.raw).port
        let listener = try ByteStream(descriptor, reactor: agent.reactor)
        let reactor = agent.reactor
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await withThrowingDiscardingTaskGroup { connections in
                    while true {
                        try await reactor.readable(listener.raw)
                        guard let accepted = try acceptTCP(listener.raw) else { continue }
                        let stream = try ByteStream(accepted, reactor: reactor)
                        connections.addTask { try await body(stream) }
                    }
                }
            }
            try await test(port)
            group.cancelAll()
            do { try await group.waitForAll() } catch is CancellationError {}
        }
    }

    private func dial(_ session: any GuestSession, _ endpoint: GuestEndpoint) async throws -> any GuestExecStream {
        try await session.stream(GuestStreamRequest(.dial(endpoint)))
    }

    @Test("4 MB pass both ways at once, byte for byte, and each direction ends by itself")
    func bothWays() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            var random = Seeded(state: 7)
            let sent = random.bytes(4 << 20)
            let echo = { @Sendable (stream: ByteStream) in
                while true {
                    let bytes = try await stream.read()
                    if bytes.isEmpty { break }
                    try await stream.write(bytes)
                }
                // The answer to the end comes after it: this direction is open still.
                try await stream.write(Array("end".utf8))
                shutdown(stream.raw, Int32(SHUT_WR))
            }
            try await serving(agent, echo) { port in
                let stream = try await dial(session, .port(port))
                async let received = collect(stream)
                try await stream.write(sent)
                try await stream.closeInput()
                let all = try await received
                #expect(all.output == sent + Array("end".utf8))
                #expect(all.exit == .exited(0))
            }
        }
    }

    @Test("the end of the other side is told while this one goes on sending")
    func halfClose() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let (heard, hear) = AsyncStream<[UInt8]>.makeStream()
            let server = { @Sendable (stream: ByteStream) in
                try await stream.write(Array("hello".utf8))
                shutdown(stream.raw, Int32(SHUT_WR))
                hear.yield(try await stream.read())
                hear.finish()
            }
            try await serving(agent, server) { port in
                let stream = try await dial(session, .port(port))
                #expect(try await stream.next() == .bytes(.standardOutput, offset: 0, Array("hello".utf8)))
                #expect(try await stream.next() == .bytes(.standardError, offset: 0, [0]))
                try await stream.write(Array("late".utf8))
                try await stream.closeInput()
                for await bytes in heard { #expect(bytes == Array("late".utf8)) }
                #expect(try await stream.next() == .ended(.exited(0)))
            }
        }
    }

    @Test("where nobody listens the stream ends and says so; a reset is no end in order")
    func refused() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            try await serving(
                agent,
                { stream in
                    // Not before the guest knows that it is connected.
                    _ = try await stream.read()
                    var now = linger(l_onoff: 1, l_linger: 0)
                    setsockopt(stream.raw, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
                }
            ) { port in
                let stream = try await dial(session, .port(port))
                try await stream.write([1])
                #expect(try await collect(stream).exit == .exited(ECONNRESET))
            }
            let end = try await collect(try await dial(session, .port(1))).exit
            guard case .notStarted(_, let message) = end else {
                Issue.record("\(String(describing: end))")
                return
            }
            #expect(message == "port 1 has no listener")
            let missing = try await collect(try await dial(session, .socket("/no/such/socket"))).exit
            #expect(missing?.code == 111)
            // The session is well.
            try await session.ping()
        }
    }

    @Test("100 connections at once each get their own, and the session that comes next closes them")
    func many() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let (closed, close) = AsyncStream<Void>.makeStream()
            let echo = { @Sendable (stream: ByteStream) in
                while true {
                    let bytes = try await stream.read()
                    if bytes.isEmpty { break }
                    try await stream.write(bytes)
                }
                close.yield()
            }
            try await serving(agent, echo) { port in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<100 {
                        group.addTask {
                            let stream = try await dial(session, .port(port))
                            try await stream.write(Array("number \(number)".utf8))
                            let answer = try await stream.next()
                            #expect(answer == .bytes(.standardOutput, offset: 0, Array("number \(number)".utf8)))
                        }
                    }
                    try await group.waitForAll()
                }
                await session.close()
                // A serial port has no borders between its clients: the guest learns of the end by the next hello.
                let next = try await agent.connect()
                let ends = try await withDeadline(.seconds(20), "the ends of the connections") {
                    var ends = 0
                    for await _ in closed {
                        ends += 1
                        if ends == 100 { break }
                    }
                    return ends
                }
                #expect(ends == 100)
                await next.close()
            }
        }
    }

    @Test("a host that takes nothing holds the other side back, and the rest goes on")
    func backPressure() async throws {
        try await withAgent { agent in
            let session = try await agent.idle()
            let (full, isFull) = AsyncStream<Void>.makeStream()
            let flood = { @Sendable (stream: ByteStream) in
                let block = [UInt8](repeating: 1, count: 65536)
                for _ in 0..<64 { try await stream.write(block) }
                isFull.finish()
            }
            try await serving(agent, flood) { port in
                let stream = try await dial(session, .port(port))
                #expect(try await collect(try await session.run(shell("echo fine"))).text == "fine\n")
                // A connection ends when both its directions have.
                try await stream.closeInput()
                let all = try await collect(stream)
                #expect(all.output.count == 64 * 65536)
                #expect(all.exit == .exited(0))
                for await _ in full {}
            }
        }
    }
}
