import CoveyModel
import CoveyNames
import CoveyNetwork
import CoveySystem
import Synchronization
import Testing

@Suite struct ForwardingTests {
    /// A network with one machine `web` of a policy, whose questions go to an upstream that answers as the closure says.
    private func withUpstream(
        egress: EgressPolicy = .open, listener: (any AnswerListener)? = nil,
        policies: EgressPolicies = EgressPolicies(),
        limits: NamesLimits = NamesLimits(), patience: Forwarder.Patience = Forwarder.Patience(),
        _ answer: @escaping @Sendable (DNSMessage, Bool) -> [DNSMessage],
        _ body: (NamesServer, Client, FakeUpstream, Reactor) async throws -> Void
    ) async throws {
        let block = freshBlock()
        var fixture = Fixture()
        let net = try fixture.network(1, block: "127.\(block).1.0/24")
        try fixture.machine("web", net, "127.\(block).1.10", egress: egress)
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let upstream = try FakeUpstream("127.\(block).9.9", reactor, answer)
        let settings = NamesSettings(
            host: nil, port: testPort, upstreams: .fixed([upstream.endpoint]), limits: limits, patience: patience,
            interval: .milliseconds(50))
        try await withServer(fixture, settings, listener: listener, policies: policies) { server, reactor in
            let client = try Client(
                "127.\(block).1.10", asks: SocketEndpoint(try address("127.\(block).1.1"), port: testPort), reactor)
            try await body(server, client, upstream, reactor)
        }
        await upstream.end()
    }

    @Test("other names are forwarded with ids and ports of their own, and their answers are kept")
    func forward() async throws {
        try await withUpstream { question, _ in
            [try? question.answering(["192.0.2.7"], timeToLive: 60)].compactMap(\.self)
        } _: { (server, client, upstream, _) async throws -> Void in
            for number in 0..<8 { #expect(try await client.addresses("n\(number).example") == ["192.0.2.7"]) }
            for number in 0..<8 { #expect(try await client.addresses("N\(number).Example") == ["192.0.2.7"]) }
            let seen = upstream.questions
            #expect(seen.count == 8)
            #expect(Set(seen.map(\.message.id)).count >= 7 && Set(seen.map(\.source.port)).count >= 7)
            #expect(server.figures.forwarded == 8 && server.figures.kept == 8)
            // Names of machines never leave.
            #expect(try await client.ask("nobody.vm").code == .noSuchName)
            #expect(try await client.ask("x.y.z.vm", .mx).code == .noSuchName)
            #expect(upstream.questions.count == 8)
        }
    }

    @Test("the same question of many at one time goes out once")
    func joined() async throws {
        var patience = Forwarder.Patience()
        patience.rounds = [.milliseconds(300), .milliseconds(300)]
        try await withUpstream(patience: patience) { _, _ in
            []
        } _: { (_, client, upstream, _) async throws -> Void in
            let bytes = DNSMessage(id: 5, question: DNSQuestion(try name("slow.example"), .a)).encoded()
            for _ in 0..<20 { try client.socket.send(bytes, to: client.server) }
            try await eventually("the question") { upstream.questions.count >= 1 }
            var answers = 0
            while answers < 20 {
                // The upstream is silent: the question is asked again once, and then fails for all.
                guard let datagram = try client.socket.receive() else {
                    try await withDeadline(.seconds(10), "20 answers") { try await client.socket.readable() }
                    continue
                }
                answers += 1
                #expect(try DNSMessage(decoding: datagram.bytes).code == .serverFailure)
            }
            // Two rounds, one datagram each.
            #expect(upstream.questions.count == 2)
        }
    }

    @Test("an answer that was cut is asked for by TCP, and cut again for a client that takes less")
    func truncated() async throws {
        try await withUpstream { question, isStream in
            guard isStream else {
                var cut = question.response()
                cut.isTruncated = true
                return [cut]
            }
            return [try? question.answering((0..<60).map { "192.0.2.\($0)" })].compactMap(\.self)
        } _: { (_, client, _, _) async throws -> Void in
            let whole = try await client.ask("many.example")
            #expect(whole.answers.count == 60 && !whole.isTruncated)
            let cut = try await client.ask("many.example", edns: nil)
            #expect(cut.isTruncated && cut.answers.isEmpty)
        }
    }

    @Test("answers with another id, another question or from elsewhere are no answers")
    func forged() async throws {
        try await withUpstream { question, _ in
            let good = try? question.answering(["192.0.2.1"])
            var otherID = try? question.answering(["192.0.2.66"])
            otherID?.id = question.id ^ 1
            var otherName = try? question.answering(["192.0.2.66"])
            otherName?.questions = [DNSQuestion(DNSName("bank.example") ?? .root, .a)]
            var noAnswer = question
            noAnswer.isResponse = false
            return [otherID, otherName, noAnswer, good].compactMap(\.self)
        } _: { (server, client, upstream, reactor) async throws -> Void in
            #expect(try await client.addresses("a.example") == ["192.0.2.1"])
            #expect(server.figures.forged == 3)
            #expect(upstream.questions.count == 1)
        }
    }

    @Test("a server without EDNS is asked again without it, and one that fails yields to the next")
    func oldServer() async throws {
        let block = freshBlock()
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let failing = try FakeUpstream("127.\(block).9.1", reactor) { question, _ in [question.response(.serverFailure)]
        }
        let old = try FakeUpstream("127.\(block).9.2", reactor) { question, _ in
            question.edns == nil
                ? [try? question.answering(["192.0.2.1"])].compactMap(\.self) : [question.response(.formatError)]
        }
        let upstreams = Upstreams(.fixed([failing.endpoint, old.endpoint]))
        upstreams.refresh()
        let forwarder = Forwarder(upstreams, reactor: reactor)
        let answer = try await forwarder.ask(CacheKey(DNSQuestion(try name("a.example"), .a)))
        #expect(answer.answers.count == 1)
        #expect(failing.questions.count == 1 && old.questions.count == 2)
        // Who answered is asked first from now on.
        _ = try await forwarder.ask(CacheKey(DNSQuestion(try name("b.example"), .a)))
        #expect(failing.questions.count == 1 && old.questions.count == 4)
        await failing.end()
        await old.end()
    }

    @Test("without a server questions fail at once, and the problem says why")
    func noServer() async throws {
        let block = freshBlock()
        var fixture = Fixture()
        _ = try fixture.network(1, block: "127.\(block).1.0/24")
        let gateway = SocketEndpoint(try address("127.\(block).1.1"), port: testPort)
        // The only server is ourselves.
        let settings = NamesSettings(
            host: nil, port: testPort, upstreams: .fixed([gateway]), interval: .milliseconds(50))
        try await withServer(fixture, settings) { server, reactor in
            let client = try Client("127.\(block).1.10", asks: gateway, reactor)
            #expect(try await client.ask("a.example").code == .serverFailure)
            #expect(await server.problems().contains { $0.contains("no server of the host is known") })
        }
    }

    @Test("the servers' file is read again when it changes, and what was kept is forgotten")
    func file() async throws {
        #expect(
            Upstreams.servers(
                in: "# x\nsearch a\nnameserver 10.0.0.1\n nameserver\t::1 \nnameserver fe80::1%eth0\nnameserver x\n"
            )
            .map(\.description) == ["10.0.0.1", "::1"])
        let path = "/tmp/covey-names-\(UInt64.random(in: .min ... .max))"
        defer { try? removeFile(path) }
        try writeFileAtomically(path, Array("nameserver 10.0.0.1\n".utf8))
        let upstreams = Upstreams(.file(path))
        #expect(upstreams.refresh())
        #expect(!upstreams.refresh())
        #expect(upstreams.servers(now: .now).map(\.description) == ["10.0.0.1:53"])
        try writeFileAtomically(path, Array("nameserver 10.0.0.2\n".utf8))
        #expect(upstreams.refresh())
        #expect(upstreams.servers(now: .now).map(\.description) == ["10.0.0.2:53"])
        try removeFile(path)
        #expect(upstreams.refresh())
        #expect(upstreams.servers(now: .now).isEmpty)
        #expect(upstreams.problem?.contains(path) == true)
    }

    @Test("a machine that has too many questions waiting fails at once, and another one does not")
    func outstanding() async throws {
        var limits = NamesLimits()
        limits.client.outstanding = 4
        try await withUpstream(limits: limits) { question, _ in
            question.questions[0].name.isWithin(DNSName("silent.example") ?? .root)
                ? [] : [try? question.answering(["192.0.2.1"])].compactMap(\.self)
        } _: { (server, client, upstream, reactor) async throws -> Void in
            for number in 0..<4 {
                let question = DNSMessage(id: 1, question: DNSQuestion(try name("\(number).silent.example"), .a))
                try client.socket.send(question.encoded(), to: client.server)
            }
            try await eventually("four questions") { upstream.questions.count >= 4 }
            #expect(try await client.ask("a.example").code == .serverFailure)
            // Names of machines are answered all the same, and so is another machine.
            #expect(try await client.ask("web.vm").answers.count == 1)
            let gateway = client.server.address.description
            let other = try Client(String(gateway.dropLast()) + "99", asks: client.server, reactor)
            #expect(try await other.addresses("a.example") == ["192.0.2.1"])
        }
    }

    @Test(
        "a name outside a machine's rules is refused and never forwarded; one of its rules is, and is opened before it arrives"
    )
    func policy() async throws {
        let opened = RecordingHost()
        let policies = EgressPolicies()
        let opener = EgressOpener(host: opened, policies: policies) { Issue.record($0) }
        let policy = try #require(EgressPolicy("www.example:443/tcp,*.cdn.example,10.0.0.0/8"))
        try await withUpstream(egress: policy, listener: opener, policies: policies) { question, _ in
            guard question.questions[0].name == DNSName("www.example"), let target = DNSName("edge.other.example")
            else {
                return [try? question.answering(["192.0.2.9"], timeToLive: 300)].compactMap(\.self)
            }
            var answer = question.response()
            answer.answers = [
                DNSRecord(question.questions[0].name, .cname, timeToLive: 300, .name(target)),
                .address(target, .v4(IPv4Address(bits: 0xC000_0201)), timeToLive: 20),
            ]
            return [answer]
        } _: { (server, client, upstream, _) async throws -> Void in
            for text in [
                "other.example", "cdn.example", "xcdn.example", "secret.evil.example", "7.2.0.192.in-addr.arpa",
            ] {
                let answer = try await client.ask(text)
                #expect(answer.code == .refused && answer.edns?.reason == 15)
            }
            #expect(upstream.questions.isEmpty)
            #expect(server.figures.denied == 5)
            #expect(server.figures.deniedByInterface.map(\.value) == [5])
            #expect(try await client.addresses("www.example") == ["192.0.2.1"])
            #expect(opened.all.count == 1)
            #expect(opened.all.first?.addresses.map(\.description) == ["192.0.2.1"])
            #expect(opened.all.first?.ports == 443...443 && opened.all.first?.transport == .tcp)
            #expect(opened.all.first.map { $0.duration >= .seconds(60) } == true)
            #expect(try await client.addresses("a.b.cdn.example") == ["192.0.2.9"])
            #expect(opened.all.last?.ports == nil && opened.all.last?.addresses.map(\.description) == ["192.0.2.9"])
            #expect(opened.all.last.map { $0.duration >= .seconds(299) } == true)
            // From what was kept as well: an opening that still stands is not made again.
            #expect(try await client.addresses("www.example") == ["192.0.2.1"])
            #expect(opened.all.count == 2)
            opener.forget()
            #expect(try await client.addresses("www.example") == ["192.0.2.1"])
            #expect(opened.all.count == 3)
            #expect(upstream.questions.count == 2)
        }
    }

    @Test("a machine whose policy is closed asks nobody outside")
    func closed() async throws {
        try await withUpstream(egress: .closed) { _, _ in
            []
        } _: { (_, client, upstream, _) async throws -> Void in
            #expect(try await client.ask("a.example").code == .refused)
            #expect(try await client.addresses("host.vm") == [client.server.address.description])
            #expect(upstream.questions.isEmpty)
        }
    }

    @Test("an opening that takes too long does not hold the answer for ever")
    func slowListener() async throws {
        var limits = NamesLimits()
        limits.listener = .milliseconds(50)
        let policies = EgressPolicies()
        let policy = try #require(EgressPolicy("a.example"))
        try await withUpstream(egress: policy, listener: DeafListener(), policies: policies, limits: limits) {
            question, _ in
            [try? question.answering(["192.0.2.1"])].compactMap(\.self)
        } _: { (server, client, _, _) async throws -> Void in
            #expect(try await client.addresses("a.example") == ["192.0.2.1"])
            #expect(server.figures.failed == 1)
        }
    }

    @Test("the rules that have a name open their own ports, for the answer's time and at least a minute")
    func openings() throws {
        let policy = try #require(EgressPolicy("a.example:80-81/udp,*.example:443,b.example"))
        let key = InterfaceKey(machine: MachineID(high: 1, low: 1), index: 0)
        let addresses = [try address("192.0.2.1")]
        let found = policy.openings("A.example", for: key, addresses: addresses, timeToLive: .seconds(90))
        #expect(
            found == [
                EgressOpening(key: key, addresses: addresses, ports: 80...81, transport: .udp, duration: .seconds(90)),
                EgressOpening(key: key, addresses: addresses, ports: 443...443, duration: .seconds(90)),
            ])
        #expect(
            policy.openings("x.y.example", for: key, addresses: addresses, timeToLive: .zero).map(\.duration) == [
                .seconds(60)
            ])
        #expect(policy.openings("example", for: key, addresses: addresses, timeToLive: .zero).isEmpty)
        #expect(policy.openings("a.example", for: key, addresses: [], timeToLive: .zero).isEmpty)
        for other in [EgressPolicy.open, .closed] {
            #expect(other.openings("a.example", for: key, addresses: addresses, timeToLive: .zero).isEmpty)
        }
    }
}

/// A host that notes what is opened.
final class RecordingHost: NetworkHost {
    private let state = Mutex<[EgressOpening]>([])
    var all: [EgressOpening] { state.withLock { $0 } }

    func facts() async -> NetworkHostFacts { NetworkHostFacts(available: true) }
    func apply(_ state: NetworkState) async throws -> [NetworkProblem] { [] }
    func tap(_ key: InterfaceKey) async -> String? { nil }
    func open(_ openings: [EgressOpening]) async throws { state.withLock { $0 += openings } }
    func figures() async throws -> [InterfaceKey: InterfaceFigures] { [:] }
    func holders(_ ports: [PublishedPort]) async throws -> [PortHolder] { [] }
    func uninstall() async throws {}
}

/// A listener that never returns.
struct DeafListener: AnswerListener {
    func answers(_ name: String, to key: InterfaceKey, addresses: [IPAddress], timeToLive: Duration) async {
        try? await Task.sleep(for: .seconds(600))
    }
}
