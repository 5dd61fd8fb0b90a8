internal import CoveyClient
internal import CoveyModel
internal import Synchronization

/// So many programs in one machine at once, each with its standard input, over one connection: a token goes to each
/// and comes back, again and again.
struct Sessions {
    let socket: String
    let machine: String
    let count: Int
    let rounds: Int

    /// Seconds from the first call until every program has sent its first token back (`opened`), and of the rounds that
    /// follow, each from its token's sending to its coming back (`token`), of all programs.
    func run() async throws -> [String: [Double]] {
        try await CoveyClient.connect(to: DaemonEndpoint(socket: socket)) { client in
            let begin = ContinuousClock.now
            return try await withThrowingTaskGroup(of: (Double, [Double]).self) { group in
                for number in 0..<count {
                    group.addTask { try await one(client, number, begin) }
                }
                var opened = 0.0
                var tokens: [Double] = []
                for try await (first, later) in group {
                    opened = max(opened, first)
                    tokens += later
                }
                return ["opened": [opened], "token": tokens]
            }
        }
    }

    /// Passes tokens to one program and back.
    private func one(
        _ client: CoveyClient, _ number: Int, _ begin: ContinuousClock.Instant
    ) async throws -> (Double, [Double]) {
        let (input, feed) = AsyncStream<[UInt8]>.makeStream()
        let course = SharedCourse(Course(number: number, rounds: rounds))
        if let first = course.state.withLock({ $0.next() }) { feed.yield(first) }
        let source = AsyncInput(input)
        var given = ExecSource()
        given.standardInput = { await source.next() }
        let exit = try await client.exec(
            machine, Program(arguments: ["cat"], standardInput: true), source: given
        ) { piece in
            guard case .stdout(let bytes) = piece else { return }
            guard try course.state.withLock({ try $0.take(bytes) }) else { return }
            if let next = course.state.withLock({ $0.next() }) { feed.yield(next) } else { feed.finish() }
        }
        guard exit?.code == 0 else { throw CoveyError(.failure, "cat ended with \(exit?.code ?? -1)") }
        let (opened, times) = course.state.withLock { ($0.opened, $0.times) }
        guard times.count == rounds, let opened else { throw CoveyError(.failure, "tokens were lost") }
        let taken = begin.duration(to: opened)
        return (taken / .seconds(1), times)
    }

    private final class SharedCourse: Sendable {
        let state: Mutex<Course>

        init(_ course: Course) { state = Mutex(course) }
    }

    /// The tokens of one program, one after the other.
    private struct Course {
        let number: Int
        let rounds: Int
        var sent = 0
        var waiting: [UInt8] = []
        var since = ContinuousClock.now
        var opened: ContinuousClock.Instant?
        var times: [Double] = []

        init(number: Int, rounds: Int) {
            self.number = number
            self.rounds = rounds
        }

        mutating func next() -> [UInt8]? {
            guard sent <= rounds else { return nil }
            sent += 1
            waiting = Array("token \(number) \(sent)\n".utf8)
            since = .now
            return waiting
        }

        /// Whether the whole token has come back. Errors: another one did.
        mutating func take(_ bytes: [UInt8]) throws -> Bool {
            guard waiting.starts(with: bytes) else { throw CoveyError(.failure, "another token came back") }
            waiting.removeFirst(bytes.count)
            guard waiting.isEmpty else { return false }
            let now = ContinuousClock.now
            if opened == nil { opened = now } else { times.append(since.duration(to: now) / .seconds(1)) }
            return true
        }
    }
}

/// One reader of a stream.
private actor AsyncInput {
    private var iterator: AsyncStream<[UInt8]>.Iterator

    init(_ stream: AsyncStream<[UInt8]>) { iterator = stream.makeAsyncIterator() }

    func next() async -> [UInt8]? {
        var copy = iterator
        let bytes = await copy.next(isolation: self)
        iterator = copy
        return bytes
    }
}
