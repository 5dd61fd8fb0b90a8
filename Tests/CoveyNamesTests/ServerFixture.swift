import CoveyModel
import CoveyNames
import CoveyNetwork
import CoveySystem
import Synchronization
import Testing

/// A number below 200 that no other test of this process has: its loopback addresses are 127.N.x.y.
private let nextBlock = Mutex(10)

func freshBlock() -> Int {
    nextBlock.withLock { number in
        number += 1
        return number
    }
}

/// Ports of our own: high, and other ones in each run.
let testPort = UInt16.random(in: 20000...60000)

/// A names service on loopback addresses that runs as long as a test's body.
func withServer<T>(
    _ fixture: Fixture, _ settings: NamesSettings, listener: (any AnswerListener)? = nil,
    policies: EgressPolicies = EgressPolicies(), opener: SocketOpener = SocketOpener(),
    _ body: (NamesServer, Reactor) async throws -> T
) async throws -> T {
    let reactor = try Reactor()
    defer { reactor.shutdown() }
    let server = NamesServer(settings, reactor: reactor, listener: listener, policies: policies, opener: opener)
    let life = Task { try await server.run() }
    await server.update(fixture.state)
    do {
        // `run` may begin after `update`.
        try await eventually("the listeners") { await !server.listening().isEmpty }
        let result = try await body(server, reactor)
        life.cancel()
        _ = await life.result
        return result
    } catch {
        life.cancel()
        _ = await life.result
        throw error
    }
}

/// Waits until a condition holds.
func eventually(
    _ what: String, limit: Duration = .seconds(20), _ condition: @escaping @Sendable () async throws -> Bool
) async throws {
    try await withDeadline(limit, what) {
        // What is waited for here has no event: it is looked at again and again, until the deadline.
        while try await !condition() { try await Task.sleep(for: .milliseconds(10)) }
    }
}

/// A machine that asks from an address of its own.
struct Client {
    let socket: DatagramSocket
    let server: SocketEndpoint
    let reactor: Reactor

    init(_ source: String, asks server: SocketEndpoint, _ reactor: Reactor) throws {
        socket = try DatagramSocket(try bindUDP(SocketEndpoint(try address(source), port: 0)), reactor: reactor)
        self.server = server
        self.reactor = reactor
    }

    /// Sends bytes and waits for what comes back.
    func exchange(_ bytes: [UInt8], limit: Duration = .seconds(10)) async throws -> [UInt8] {
        try socket.send(bytes, to: server)
        let socket = socket
        return try await withDeadline(limit, "an answer") {
            while true {
                if let datagram = try socket.receive() { return datagram.bytes }
                try await socket.readable()
            }
        }
    }

    /// Asks by UDP, once or, where nothing comes in these times, again.
    func ask(
        _ text: String, _ type: DNSType = .a, edns: DNSExtension? = DNSExtension(), tries: [Duration] = [.seconds(10)]
    ) async throws -> DNSMessage {
        let question = DNSMessage(
            id: .random(in: 0...65535), question: DNSQuestion(try name(text), type), edns: edns)
        for limit in tries.dropLast() {
            do {
                return try DNSMessage(decoding: try await exchange(question.encoded(), limit: limit))
            } catch let error as CoveyError { #expect(error.code == .deadline) }
        }
        let answer = try DNSMessage(
            decoding: try await exchange(question.encoded(), limit: tries.last ?? .seconds(10)))
        #expect(answer.id == question.id && answer.isResponse)
        #expect(answer.questions == question.questions)
        return answer
    }

    /// The addresses that a name has by UDP.
    func addresses(_ text: String, _ type: DNSType = .a) async throws -> [String] {
        try await ask(text, type).answers.compactMap { record in
            if case .address(let address) = record.content { address.description } else { nil }
        }
    }

    /// Asks by TCP, from an address of the kernel's choice.
    func askByTCP(_ text: String, _ type: DNSType = .a) async throws -> DNSMessage {
        let question = DNSMessage(id: 7, question: DNSQuestion(try name(text), type))
        let (server, reactor) = (server, reactor)
        return try await withDeadline(.seconds(10), "an answer by TCP") {
            let stream = try await ByteStream.connectTCP(server, reactor: reactor)
            defer { stream.shutdown() }
            let bytes = question.encoded()
            try await stream.write([UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes)
            var got: [UInt8] = []
            while got.count < 2 || got.count < 2 + (Int(got[0]) << 8 | Int(got[1])) {
                let more = try await stream.read()
                guard !more.isEmpty else { throw CoveyError(.unavailable, "closed") }
                got += more
            }
            return try DNSMessage(decoding: Array(got[2...]))
        }
    }
}

/// A server that others forward to: answers as a closure says.
final class FakeUpstream: Sendable {
    let endpoint: SocketEndpoint
    private let tasks: [Task<Void, Never>]

    /// `answer` gives the messages that go back for a question; the second argument is whether it came by TCP.
    init(
        _ source: String, _ reactor: Reactor,
        _ answer: @escaping @Sendable (DNSMessage, Bool) -> [DNSMessage]
    ) throws {
        let socket = try DatagramSocket(try bindUDP(SocketEndpoint(try address(source), port: 0)), reactor: reactor)
        endpoint = try boundEndpoint(socket.raw)
        let listener = FakeListener(try listenTCP(endpoint))
        let box = SeenBox()
        self.box = box
        tasks = [
            Task {
                while !Task.isCancelled {
                    guard (try? await socket.readable()) != nil else { return }
                    while let datagram = try? socket.receive(), let question = try? DNSMessage(decoding: datagram.bytes)
                    {
                        box.add(question, datagram.source)
                        for message in answer(question, false) {
                            _ = try? socket.send(message.encoded(), to: datagram.source)
                        }
                    }
                }
            },
            Task {
                while !Task.isCancelled {
                    guard (try? await reactor.readable(listener.raw)) != nil else { return }
                    guard let raw = try? acceptTCP(listener.raw), let stream = try? ByteStream(raw, reactor: reactor),
                        let bytes = try? await stream.read(), bytes.count > 2,
                        let question = try? DNSMessage(decoding: Array(bytes[2...]))
                    else { continue }
                    for message in answer(question, true) {
                        let bytes = message.encoded()
                        try? await stream.write([UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes)
                    }
                }
            },
        ]
    }

    private let box: SeenBox
    /// The questions that came, with who sent them.
    var questions: [(message: DNSMessage, source: SocketEndpoint)] { box.all }

    func end() async {
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }
}

final class SeenBox: Sendable {
    private let state = Mutex<[(message: DNSMessage, source: SocketEndpoint)]>([])
    var all: [(message: DNSMessage, source: SocketEndpoint)] { state.withLock { $0 } }
    func add(_ message: DNSMessage, _ source: SocketEndpoint) { state.withLock { $0.append((message, source)) } }
}

final class FakeListener: Sendable {
    private let descriptor: FileDescriptor
    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
    var raw: Int32 { descriptor.raw }
}

extension DNSMessage {
    /// The answer with these addresses.
    func answering(_ addresses: [String], timeToLive: UInt32 = 60) throws -> DNSMessage {
        var answer = response()
        let name = questions[0].name
        answer.answers = try addresses.map {
            .address(name, try #require(IPAddress($0)), timeToLive: timeToLive)
        }
        return answer
    }
}
