import CoveyModel
import CoveyNames
import CoveyNetwork
import CoveySystem
import Synchronization
import Testing

@Suite struct NamesServerTests {
    private func settings(_ block: Int, upstreams: [SocketEndpoint] = []) throws -> NamesSettings {
        NamesSettings(
            host: SocketEndpoint(try address("127.\(block).0.153"), port: testPort), port: testPort,
            upstreams: .fixed(upstreams), interval: .milliseconds(50))
    }

    private func gateway(_ block: Int, _ net: Int = 1) throws -> SocketEndpoint {
        SocketEndpoint(try address("127.\(block).\(net).1"), port: testPort)
    }

    @Test("machines are answered by UDP and TCP at their gateway, and the host on loopback")
    func answers() async throws {
        let block = freshBlock()
        var fixture = Fixture()
        let net = try fixture.network(1, block: "127.\(block).1.0/24")
        try fixture.machine("web", net, "127.\(block).1.10")
        try fixture.machine("db", net, "127.\(block).1.11")
        try await withServer(fixture, try settings(block)) { server, reactor in
            let web = try Client("127.\(block).1.10", asks: try gateway(block), reactor)
            let answer = try await web.ask("DB.vm")
            #expect(answer.isAuthoritative && answer.recursionAvailable && answer.code == .success)
            #expect(answer.answers == [.address(try name("db.vm"), try address("127.\(block).1.11"), timeToLive: 0)])
            #expect(answer.edns != nil)
            #expect(try await web.ask("db.vm", edns: nil).edns == nil)
            let none = try await web.ask("nobody.vm")
            #expect(none.code == .noSuchName && none.authorities.first?.type == .soa)
            let empty = try await web.ask("db.vm", .aaaa)
            #expect(empty.code == .success && empty.answers.isEmpty && empty.authorities.first?.type == .soa)
            #expect(try await web.addresses("host.vm") == ["127.\(block).1.1"])
            // From 127.0.0.1, which is not of the network: refused by UDP, and not even let in by TCP.
            let foreign = try Client("127.0.0.1", asks: try gateway(block), reactor)
            #expect(try await foreign.ask("db.vm").code == .refused)
            await #expect(throws: (any Error).self) { try await foreign.askByTCP("db.vm") }
            let host = try Client(
                "127.0.0.1", asks: SocketEndpoint(try address("127.\(block).0.153"), port: testPort), reactor)
            #expect(try await host.addresses("web.default.vm") == ["127.\(block).1.10"])
            #expect(try await host.askByTCP("web.vm").answers.count == 1)
            // The host has servers of its own.
            #expect(try await host.ask("example.org").code == .refused)
            #expect(server.figures.foreign >= 1)
        }
    }

    @Test("IPv6 machines are answered at their own gateway by UDP and TCP")
    func version6() async throws {
        let block = freshBlock()
        var fixture = Fixture()
        let net = try fixture.network(1, block: "127.\(block).1.0/24", block6: "::/64")
        try fixture.machine("web", net, "127.\(block).1.10", six: "::2")
        try await withServer(fixture, try settings(block)) { _, reactor in
            let client = try Client("::1", asks: SocketEndpoint(try address("::1"), port: testPort), reactor)
            #expect(try await client.addresses("web.vm", .aaaa) == ["::2"])
            #expect(try await client.askByTCP("web.vm", .aaaa).answers.count == 1)
        }
    }

    @Test("a change shows at once: a machine that comes, moves, is renamed, or goes")
    func changes() async throws {
        let block = freshBlock()
        var fixture = Fixture()
        let net = try fixture.network(1, block: "127.\(block).1.0/24")
        try fixture.machine("web", net, "127.\(block).1.10")
        try await withServer(fixture, try settings(block)) { server, reactor in
            let client = try Client("127.\(block).1.99", asks: try gateway(block), reactor)
            #expect(try await client.addresses("web.vm") == ["127.\(block).1.10"])
            #expect(try await client.ask("db.vm").code == .noSuchName)
            try fixture.machine("db", net, "127.\(block).1.11")
            fixture.state.interfaces[0].address = try v4("127.\(block).1.12")
            await server.update(fixture.state)
            #expect(try await client.addresses("web.vm") == ["127.\(block).1.12"])
            #expect(try await client.addresses("db.vm") == ["127.\(block).1.11"])
            fixture.state.interfaces[0].name = "www"
            fixture.state.interfaces.remove(at: 1)
            await server.update(fixture.state)
            #expect(try await client.ask("web.vm").code == .noSuchName)
            #expect(try await client.addresses("www.vm") == ["127.\(block).1.12"])
            #expect(try await client.ask("db.vm").code == .noSuchName)
        }
    }

    @Test("a network that comes is listened on when update returns, and its address is free when it goes")
    func networks() async throws {
        let block = freshBlock()
        var fixture = Fixture()
        let net = try fixture.network(1, block: "127.\(block).1.0/24")
        try fixture.machine("web", net, "127.\(block).1.10")
        try await withServer(fixture, try settings(block)) { server, reactor in
            let client = try Client("127.\(block).1.99", asks: try gateway(block), reactor)
            #expect(try await client.addresses("web.vm") == ["127.\(block).1.10"])
            let second = try fixture.network(2, block: "127.\(block).2.0/24")
            try fixture.machine("db", second, "127.\(block).2.10")
            await server.update(fixture.state)
            let other = try Client("127.\(block).2.99", asks: try gateway(block, 2), reactor)
            let bytes = DNSMessage(id: 1, question: DNSQuestion(try name("db.vm"), .a)).encoded()
            #expect(try DNSMessage(decoding: try await other.exchange(bytes)).answers.count == 1)
            fixture.state.networks.removeLast()
            fixture.state.interfaces.removeLast()
            await server.update(fixture.state)
            _ = try bindUDP(try gateway(block, 2))
            _ = try listenTCP(try gateway(block, 2))
        }
        _ = try bindUDP(try gateway(block))
        _ = try listenTCP(try gateway(block))
    }

    @Test("a foreign server on the port is named with its program, and when it ends the address is taken")
    func foreignServer() async throws {
        let block = freshBlock()
        var fixture = Fixture()
        let net = try fixture.network(1, block: "127.\(block).1.0/24")
        try fixture.machine("web", net, "127.\(block).1.10")
        let endpoint = try gateway(block)
        var foreign: FakeListener? = FakeListener(try bindUDP(endpoint))
        try await withServer(fixture, try settings(block)) { server, reactor in
            try await eventually("the problem") {
                await server.problems().contains {
                    $0.contains("network net-1") && $0.contains("\(endpoint) (udp)") && $0.contains("(pid ")
                }
            }
            withExtendedLifetime(foreign) {}
            foreign = nil
            let client = try Client("127.\(block).1.99", asks: endpoint, reactor)
            try await eventually("the address") { await !server.problems().contains { $0.contains("net-1") } }
            #expect(try await client.addresses("web.vm") == ["127.\(block).1.10"])
        }
    }

    @Test("a listener is bound to its network's link, waits for it, and is bound anew when it was made anew")
    func links() async throws {
        let block = freshBlock()
        var fixture = Fixture()
        let net = try fixture.network(1, block: "127.\(block).1.0/24")
        try fixture.machine("web", net, "127.\(block).1.10")
        let opened = Mutex<[BindOptions]>([])
        let link = Mutex<UInt32?>(nil)
        var settings = try settings(block)
        settings.link = { _ in "lo" }
        let opener = SocketOpener(
            bind: { (endpoint, options) throws(SystemError) in
                if options.device != nil, link.withLock({ $0 == nil }) {
                    throw SystemError("setsockopt", "lo", errno: 19)
                }
                opened.withLock { $0.append(options) }
                return try bindUDP(endpoint, options)
            }, link: { _ in link.withLock { $0 } })
        try await withServer(fixture, settings, opener: opener) { server, reactor in
            // A link that is not there yet is no problem: the network has no machine on this host.
            try await eventually("the host's listener") { opened.withLock { $0.count == 1 } }
            #expect(await server.problems().allSatisfy { !$0.contains("net-1") })
            link.withLock { $0 = 7 }
            let client = try Client("127.\(block).1.99", asks: try gateway(block), reactor)
            try await eventually("the link's listener") { opened.withLock { $0.count == 2 } }
            #expect(try await client.addresses("web.vm") == ["127.\(block).1.10"])
            #expect(opened.withLock { $0.last } == BindOptions(mayBeAbsent: true, device: "lo", receiveBuffer: 1 << 20))
            link.withLock { $0 = 8 }
            try await eventually("the new link's listener") { opened.withLock { $0.count == 3 } }
            #expect(try await client.addresses("web.vm") == ["127.\(block).1.10"])
        }
    }

    @Test("what is no question gets the answer that says so, and answers get none")
    func malformed() async throws {
        let block = freshBlock()
        var fixture = Fixture()
        let net = try fixture.network(1, block: "127.\(block).1.0/24")
        try fixture.machine("web", net, "127.\(block).1.10")
        try await withServer(fixture, try settings(block)) { _, reactor in
            let client = try Client("127.\(block).1.99", asks: try gateway(block), reactor)
            _ = try await client.ask("web.vm")
            func code(_ hex: String) async throws -> DNSResponseCode {
                try DNSMessage(decoding: try await client.exchange(bytes(hex))).code
            }
            let question = "03 776562 02 766d 00 0001 0001"
            #expect(try await code("0001 0100 0001 0000 0000 0000 c00c 0001 0001") == .formatError)
            #expect(try await code("0001 0100 0002 0000 0000 0000" + question + question) == .formatError)
            #expect(try await code("0001 2800 0001 0000 0000 0000" + question) == .notImplemented)
            #expect(try await code("0001 0100 0001 0000 0000 0000 03 776562 02 766d 00 0001 0003") == .refused)
            #expect(try await code("0001 0100 0001 0000 0000 0000 02 766d 00 00fc 0001") == .refused)
            #expect(
                try await code("0001 0100 0001 0000 0000 0001" + question + "00 0029 04d0 00010000 0000") == .badVersion
            )
            // None of these is answered: the next answer is the one to the question after them.
            for bytes in [bytes("0001"), bytes("0002 8180 0001 0000 0000 0000" + question), []] {
                try client.socket.send(bytes, to: client.server)
            }
            #expect(try await client.ask("web.vm").answers.count == 1)
        }
    }

    @Test("a machine that floods is dropped beyond its rate, and another one is answered meanwhile")
    func flood() async throws {
        let block = freshBlock()
        var fixture = Fixture()
        let net = try fixture.network(1, block: "127.\(block).1.0/24")
        try fixture.machine("bad", net, "127.\(block).1.66")
        try fixture.machine("web", net, "127.\(block).1.10")
        var settings = try settings(block)
        settings.limits.client.questionsPerSecond = 50
        try await withServer(fixture, settings) { server, reactor in
            let bad = try Client("127.\(block).1.66", asks: try gateway(block), reactor)
            let web = try Client("127.\(block).1.10", asks: try gateway(block), reactor)
            _ = try await web.ask("web.vm")
            let bytes = DNSMessage(id: 1, question: DNSQuestion(try name("web.vm"), .a)).encoded()
            let sent = Mutex<UInt64>(0)
            let flood = Task {
                while !Task.isCancelled {
                    // As many at once as make a flood on a busy host, too.
                    for _ in 0..<64 {
                        try bad.socket.send(bytes, to: bad.server)
                        sent.withLock { $0 += 1 }
                    }
                    await Task.yield()
                }
            }
            try await eventually("the flood") { server.figures.flooded >= 100 }
            // As resolvers do, it asks again where a datagram was lost; no answer takes more than that.
            for _ in 0..<20 {
                let answer = try await web.ask("bad.vm", tries: [.seconds(2), .seconds(2), .seconds(4)])
                #expect(answer.answers.count == 1)
            }
            // Most of the flood did not even come in.
            #expect(server.figures.flooded < sent.withLock { $0 } / 2)
            flood.cancel()
            _ = await flood.result
        }
    }

    @Test("a connection that says nothing is closed, and one asker has only so many")
    func connections() async throws {
        let block = freshBlock()
        var fixture = Fixture()
        _ = try fixture.network(1, block: "127.0.0.0/24")
        var settings = try settings(block)
        settings.limits.idle = .milliseconds(300)
        settings.limits.client.connections = 2
        // The gateway is 127.0.0.1, from which and to which the kernel connects by itself.
        try await withServer(fixture, settings) { _, reactor in
            let gateway = SocketEndpoint(try address("127.0.0.1"), port: testPort)
            let client = try Client("127.0.0.1", asks: gateway, reactor)
            _ = try await client.ask("host.vm")
            let first = try await ByteStream.connectTCP(gateway, reactor: reactor)
            let second = try await ByteStream.connectTCP(gateway, reactor: reactor)
            let third = try await ByteStream.connectTCP(gateway, reactor: reactor)
            // The third is closed at once, the others when they have said nothing for their time.
            for stream in [third, first, second] {
                let end = try await withDeadline(.seconds(10), "the end") { try await stream.read() }
                #expect(end.isEmpty)
            }
            try await eventually("a free place") { try await client.askByTCP("host.vm").answers.count == 1 }
        }
    }
}
