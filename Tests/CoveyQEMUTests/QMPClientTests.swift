import CoveyModel
import CoveySystem
import CoveyVMM
import Testing

@testable import CoveyQEMU

/// The other end of a client: says what it is told to.
private struct FakeQEMU: Sendable {
    let client: QMPClient
    let stream: ByteStream
    let reactor: Reactor

    static let greeting =
        #"{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":"x"},"capabilities":[]}}"#

    static func with(_ body: (FakeQEMU) async throws -> Void) async throws {
        let reactor = try Reactor()
        var pair = try socketPair()
        let client = QMPClient(try ByteStream(pair.takeFirst(), reactor: reactor))
        let stream = try ByteStream(pair.takeSecond(), reactor: reactor)
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body(FakeQEMU(client: client, stream: stream, reactor: reactor))) } catch {
            outcome = .failure(error)
        }
        client.close()
        stream.shutdown()
        for await _ in client.events {}
        reactor.shutdown()
        try outcome.get()
    }

    func say(_ text: String) async throws { try await stream.write(Array(text.utf8)) }

    /// The next line, parsed.
    func hear() async throws -> String {
        try await withDeadline(.seconds(20), "a line") {
            var line: [UInt8] = []
            while line.last != UInt8(ascii: "\n") {
                let bytes = try await stream.read(limit: 1)
                if bytes.isEmpty { throw CoveyError(.unavailable, "the client is gone") }
                line += bytes
            }
            return String(decoding: line.dropLast(), as: UTF8.self)
        }
    }

    func greet() async throws {
        async let version = client.handshake(within: .seconds(20))
        try await say(Self.greeting + "\r\n")
        #expect(try await hear() == #"{"execute":"qmp_capabilities","id":1}"#)
        try await say(#"{"return":{},"id":1}"# + "\r\n")
        #expect(try await version == "7.2.22")
    }
}

@Suite("QMP")
struct QMPClientTests {
    @Test("a handshake, a command, an event between, and answers out of order and in pieces")
    func conversation() async throws {
        try await FakeQEMU.with { qemu in
            try await qemu.greet()
            async let first = qemu.client.execute("one", ["x": "y"])
            #expect(try await qemu.hear() == #"{"arguments":{"x":"y"},"execute":"one","id":2}"#)
            async let second = qemu.client.execute("two")
            #expect(try await qemu.hear() == #"{"execute":"two","id":3}"#)
            try await qemu.say(#"{"event":"STOP","timestamp":{"seconds":1,"microseconds":2}}"# + "\n{\"retu")
            try await qemu.say("rn\":{\"n\":[1,2.5,true,null]},\"id\":3}\n\n" + #"{"return":"a","id":2}"# + "\n")
            #expect(try await second == ["n": .array([.integer(1), .number(2.5), .bool(true), .null])])
            #expect(try await first == "a")
            var events = qemu.client.events.makeAsyncIterator()
            #expect(await events.next() == QMPEvent(name: "STOP", data: .null))
        }
    }

    @Test("a refusal is an error with QEMU's text, and the connection goes on")
    func refusal() async throws {
        try await FakeQEMU.with { qemu in
            try await qemu.greet()
            async let answer = expectError(.failure) { try await qemu.client.execute("bad") }
            _ = try await qemu.hear()
            try await qemu.say(#"{"error":{"class":"GenericError","desc":"no such thing"},"id":2}"# + "\n")
            #expect(await answer?.message == "QEMU refused bad: no such thing")
            async let next = qemu.client.execute("good")
            _ = try await qemu.hear()
            try await qemu.say(#"{"return":{},"id":3}"# + "\n")
            #expect(try await next == [:])
        }
    }

    @Test("a command without an answer ends at its deadline, and a late answer is ignored")
    func deadline() async throws {
        try await FakeQEMU.with { qemu in
            try await qemu.greet()
            await expectError(.deadline) { try await qemu.client.execute("slow", within: .milliseconds(50)) }
            _ = try await qemu.hear()
            async let next = qemu.client.execute("next")
            _ = try await qemu.hear()
            try await qemu.say(#"{"return":"late","id":2}"# + "\n" + #"{"return":"right","id":3}"# + "\n")
            #expect(try await next == "right")
        }
    }

    @Test("a greeting that does not come ends at its deadline")
    func noGreeting() async throws {
        try await FakeQEMU.with { qemu in
            await expectError(.deadline) { _ = try await qemu.client.handshake(within: .milliseconds(50)) }
        }
    }

    @Test(
        "garbage ends the connection and whoever waits is told",
        arguments: ["no json\n", "[1,2]\n", "\u{0}\u{1}\n", "{\"return\":\n", "7\n"])
    func garbage(text: String) async throws {
        try await FakeQEMU.with { qemu in
            try await qemu.greet()
            async let answer = expectError(.corrupt) { try await qemu.client.execute("one") }
            _ = try await qemu.hear()
            try await qemu.say(text)
            _ = await answer
            await expectError(.corrupt) { try await qemu.client.execute("two") }
        }
    }

    @Test("the end of the connection fails what waits and ends the events")
    func ended() async throws {
        try await FakeQEMU.with { qemu in
            try await qemu.greet()
            async let answer = expectError(.unavailable) { try await qemu.client.execute("one") }
            _ = try await qemu.hear()
            try await qemu.say(#"{"event":"SHUTDOWN","data":{"reason":"guest-reset"}}"# + "\n")
            qemu.stream.shutdown()
            _ = await answer
            var names: [String] = []
            for await event in qemu.client.events { names.append(event.name) }
            #expect(names == ["SHUTDOWN"])
        }
    }

    @Test("a line without an end is bounded, whole lines may be long")
    func bounded() throws {
        var qmp = QMPProtocol()
        let long = #"{"event":"E","data":""# + String(repeating: "x", count: 900_000) + "\"}\n"
        #expect(try qmp.receive(Array(long.utf8)).count == 1)
        _ = try qmp.receive([UInt8](repeating: 0x20, count: QMPProtocol.longestLine))
        #expect(throws: CoveyError.self) { try qmp.receive([0x20]) }
    }

    @Test("messages of unknown kinds are passed over")
    func unknown() throws {
        var qmp = QMPProtocol()
        let text = "{}\n" + #"{"id":"text","return":1}"# + "\n" + #"{"id":4,"news":1}"# + "\n"
        #expect(try qmp.receive(Array(text.utf8)) == [.other, .other, .other])
    }

    @Test(
        "events are understood by QEMU's reasons",
        arguments: [
            ("RESUME", String?.none, VMMEvent?.some(.resumed)), ("STOP", nil, .paused),
            ("SHUTDOWN", "guest-shutdown", .guestPoweredOff), ("SHUTDOWN", "guest-reset", .guestReset),
            ("SHUTDOWN", "guest-panic", .guestReset), ("SHUTDOWN", "host-signal", nil), ("SHUTDOWN", nil, nil),
            ("RTC_CHANGE", nil, nil),
        ])
    func meanings(name: String, reason: String?, expected: VMMEvent?) {
        let data = reason.map { JSONValue.object(["reason": .string($0)]) } ?? .null
        #expect(VMMEvent(QMPEvent(name: name, data: data)) == expected)
    }
}
