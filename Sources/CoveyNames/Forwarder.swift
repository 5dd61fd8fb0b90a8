internal import CoveyModel
package import CoveySystem
internal import Synchronization

/// Asks the host's servers: by UDP with a new random id and port each time, again where nothing comes, by TCP where an answer was
/// cut. Of the same questions at one time one alone goes out.
package final class Forwarder: Sendable {
    /// How long is waited.
    package struct Patience: Hashable, Sendable {
        /// For an answer to a datagram, one value for each round through the servers.
        package var rounds = [Duration.seconds(1), .seconds(2)]
        /// For an answer by TCP.
        package var stream = Duration.seconds(3)
        /// For all together.
        package var whole = Duration.milliseconds(4800)

        /// The usual ones: the C library's own five seconds end after all.
        package init() {}
    }

    private struct State {
        var asking: [CacheKey: Task<DNSMessage, any Error>] = [:]
        var forged: UInt64 = 0
        var ended = false
    }

    private let upstreams: Upstreams
    private let reactor: Reactor
    private let patience: Patience
    private let state = Mutex(State())

    /// A forwarder to servers.
    package init(_ upstreams: Upstreams, reactor: Reactor, patience: Patience = Patience()) {
        self.upstreams = upstreams
        self.reactor = reactor
        self.patience = patience
    }

    /// Answers that were none to the question they came for.
    package var forged: UInt64 { state.withLock { $0.forged } }

    /// Asks. Errors: ``ErrorCode/unavailable`` where no server is known or none answers in time.
    package func ask(_ key: CacheKey) async throws -> DNSMessage {
        let task = state.withLock { state -> Task<DNSMessage, any Error>? in
            if let task = state.asking[key] { return task }
            if state.ended { return nil }
            // Owned by `asking`: it takes itself out at its end, and `end` cancels what is left.
            let task = Task {
                defer { self.state.withLock { _ = $0.asking.removeValue(forKey: key) } }
                return try await withDeadline(self.patience.whole, "the answer to \(key.question.name)") {
                    try await self.askAll(key)
                }
            }
            state.asking[key] = task
            return task
        }
        guard let task else { throw CancellationError() }
        return try await task.value
    }

    /// Gives up all that is asked, and asks nothing any more.
    package func end() {
        let left = state.withLock { state in
            state.ended = true
            return Array(state.asking.values)
        }
        for task in left { task.cancel() }
    }

    /// Asks again after ``end()``.
    package func begin() { state.withLock { $0.ended = false } }

    private func askAll(_ key: CacheKey) async throws -> DNSMessage {
        let servers = upstreams.servers(now: .now)
        guard !servers.isEmpty else { throw CoveyError(.unavailable, "no server is known") }
        var failed: DNSMessage?
        var cause: (any Error)?
        for limit in patience.rounds {
            for server in servers {
                do {
                    let answer = try await ask(key, server, limit)
                    if answer.code == .success || answer.code == .noSuchName {
                        upstreams.answered(server, now: .now)
                        return answer
                    }
                    failed = answer
                } catch is CancellationError {
                    throw CancellationError()
                } catch { cause = error }
            }
            // Who refuses once refuses again.
            if let failed { return failed }
        }
        throw CoveyError(.unavailable, "no server answered \(key.question.name)", cause: cause)
    }

    private func ask(_ key: CacheKey, _ server: SocketEndpoint, _ limit: Duration) async throws -> DNSMessage {
        var question = DNSMessage(
            id: .random(in: .min ... .max), question: key.question,
            edns: DNSExtension(wantsSignatures: key.wantsSignatures))
        question.checkingDisabled = key.checkingDisabled
        var answer = try await byDatagram(question, server, limit)
        if answer.code == .formatError || answer.code == .notImplemented {
            // A server of before RFC 6891.
            question.edns = nil
            question.id = .random(in: .min ... .max)
            answer = try await byDatagram(question, server, limit)
        }
        guard answer.isTruncated else { return answer }
        question.id = .random(in: .min ... .max)
        return try await byStream(question, server)
    }

    private func byDatagram(_ question: DNSMessage, _ server: SocketEndpoint, _ limit: Duration) async throws
        -> DNSMessage
    {
        // Connected: the kernel chooses a random port and lets nothing through that another sent.
        let socket = try DatagramSocket(try connectUDP(server), reactor: reactor)
        try socket.send(question.encoded(), to: nil)
        return try await withDeadline(limit, "the answer of \(server)") {
            while true {
                while let datagram = try socket.receive() {
                    if let answer = self.valid(datagram.bytes, for: question) { return answer }
                }
                try await socket.readable()
            }
        }
    }

    private func byStream(_ question: DNSMessage, _ server: SocketEndpoint) async throws -> DNSMessage {
        let reactor = reactor
        return try await withDeadline(patience.stream, "the answer of \(server) by TCP") {
            let stream = try await ByteStream.connectTCP(server, reactor: reactor)
            defer { stream.shutdown() }
            try await stream.write(DNSFrame.make(question.encoded()))
            var frames = DNSFrame()
            while true {
                let bytes = try await stream.read()
                guard !bytes.isEmpty else { throw CoveyError(.unavailable, "\(server) closed before its answer") }
                frames.append(bytes)
                while let message = frames.next() {
                    if let answer = self.valid(message, for: question) { return answer }
                }
            }
        }
    }

    /// A message that answers a question: the same id, and the same name, type and class; nil for any other.
    private func valid(_ bytes: [UInt8], for question: DNSMessage) -> DNSMessage? {
        if let answer = try? DNSMessage(decoding: bytes), answer.isResponse, answer.id == question.id,
            answer.opcode == question.opcode, answer.questions == question.questions
        {
            return answer
        }
        state.withLock { $0.forged += 1 }
        return nil
    }
}

/// Messages on a stream: each has its length before it. Source: RFC 1035 4.2.2.
struct DNSFrame {
    private var buffer: [UInt8] = []

    mutating func append(_ bytes: [UInt8]) { buffer += bytes }

    /// How much waits that is no whole message.
    var rest: Int { buffer.count }

    mutating func next() -> [UInt8]? {
        guard buffer.count >= 2 else { return nil }
        let length = Int(buffer[0]) << 8 | Int(buffer[1])
        guard buffer.count >= 2 + length else { return nil }
        defer { buffer.removeFirst(2 + length) }
        return Array(buffer[2..<(2 + length)])
    }

    static func make(_ message: [UInt8]) -> [UInt8] {
        [UInt8(message.count >> 8), UInt8(truncatingIfNeeded: message.count)] + message
    }
}
