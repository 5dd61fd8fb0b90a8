import CoveyModel
import CoveyNames
import CoveyNetwork
import CoveySystem
import CoveyTesting
import Testing

@Suite struct ResponderTests {
    @Test("whatever a machine sends, it gets silence or a message that answers it", arguments: 0..<4)
    func fuzz(_ seed: UInt64) throws {
        var fixture = Fixture()
        let net = try fixture.network(1, egress: .closed)
        try fixture.machine("web", net, "10.9.1.10")
        var limits = NamesLimits()
        limits.client.questionsPerSecond = nil
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let responder = Responder(
            forwarder: Forwarder(Upstreams(.fixed([])), reactor: reactor), listener: nil, limits: limits)
        responder.update(fixture.state)
        let source = try address("10.9.1.10")
        let good = DNSMessage(id: 77, question: DNSQuestion(try name("web.vm"), .a), edns: DNSExtension()).encoded()
        var random = SeededGenerator(seed: seed)
        var answers = 0
        for round in 0..<5000 {
            var bytes = good
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
            }
            if Int.random(in: 0..<4, using: &random) == 0 {
                bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
            }
            switch responder.receive(bytes, from: source, at: .network(net), isStream: false) {
            case .silence: #expect(bytes.count < 12 || bytes[2] & 0x80 != 0, "seed \(seed), round \(round)")
            case .answer(let answer):
                let read = try DNSMessage(decoding: answer)
                #expect(read.isResponse && read.id == UInt16(bytes[0]) << 8 | UInt16(bytes[1]))
                #expect(answer.count <= 1232)
                answers += 1
            case .flood: Issue.record("dropped without a bound")
            case .lookup: Issue.record("a closed machine's question went out: seed \(seed), round \(round)")
            }
        }
        #expect(answers > 2000)
        let figures = responder.figures
        #expect(figures.forwarded == 0 && figures.own > 100 && figures.malformed > 100)
    }

    @Test("what is kept for one network is not found by another, and goes with its network")
    func keptApart() async throws {
        let block = freshBlock()
        var fixture = Fixture()
        let one = try fixture.network(1)
        let two = try fixture.network(2)
        let reactor = try Reactor()
        defer { reactor.shutdown() }
        let upstream = try FakeUpstream("127.\(block).9.9", reactor) { question, _ in
            [try? question.answering(["192.0.2.1"])].compactMap(\.self)
        }
        let upstreams = Upstreams(.fixed([upstream.endpoint]))
        upstreams.refresh()
        let responder = Responder(forwarder: Forwarder(upstreams, reactor: reactor), listener: nil)
        responder.update(fixture.state)
        let question = DNSMessage(id: 1, question: DNSQuestion(try name("a.example"), .a)).encoded()
        /// Whether the answer had to be asked of others.
        func asks(_ network: NetworkID, _ source: String) async throws -> Bool {
            switch responder.receive(question, from: try address(source), at: .network(network), isStream: false) {
            case .silence, .flood: throw CoveyError(.failure, "silence")
            case .answer: return false
            case .lookup(let lookup):
                #expect(try DNSMessage(decoding: await responder.finish(lookup)).answers.count == 1)
                return true
            }
        }
        #expect(try await asks(one, "10.9.1.5"))
        #expect(try await !asks(one, "10.9.1.6"))
        #expect(try await asks(two, "10.9.2.5"))
        responder.update(NameState(networks: fixture.state.networks.filter { $0.id == two }))
        responder.update(fixture.state)
        #expect(try await asks(one, "10.9.1.5"))
        #expect(try await !asks(two, "10.9.2.5"))
        responder.forgetKept()
        #expect(try await asks(two, "10.9.2.5"))
        await upstream.end()
    }
}
