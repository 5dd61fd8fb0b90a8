import CoveyGuest
import CoveyGuestChannel
import CoveyGuestProtocol
import CoveyModel
import CoveySystem
import Glibc
import Synchronization

/// Duties of an agent that runs as an ordinary program: it remembers what it was asked.
final class RecordedDuties: MachineDuties {
    private let record: Record
    init(_ record: Record) { self.record = record }

    final class Record: Sendable {
        private let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
    }

    func configure(_ configuration: GuestConfiguration) throws(CoveyError) -> Bool {
        record.add("configure \(configuration.hostname ?? "-")")
        return false
    }
    var initSpeaks: Bool { false }
    func setClock(_ time: Timestamp) throws(CoveyError) { record.add("clock \(time)") }
    func setNetwork(_ network: GuestNetwork, hostname: String?) throws(CoveyError) {
        record.add("network \(network.interfaces.map(\.mac)) \(hostname ?? "-")")
    }
    func beginShutdown(_ how: GuestShutdown) -> Bool {
        record.add("begin \(how)")
        return true
    }
    func end(_ how: GuestShutdown) { record.add("end \(how)") }
}

/// An agent on a thread of its own, behind a socket that behaves as a VMM's serial port does: one client at a time,
/// clients may come and go, and the guest's stream has no borders between them.
final class AgentHarness: Sendable {
    let folder: String
    let socket: String
    let reactor: Reactor
    let record = RecordedDuties.Record()
    private let waker: Mutex<EventLoop.Waker?> = Mutex(nil)
    private let tasks = Mutex<[Task<Void, Never>]>([])
    private let client = Mutex<ByteStream?>(nil)
    private let toAgent: ByteStream
    private let stopped: AsyncStream<Void>

    init(problem: CoveyError? = nil) throws {
        _ = Glibc.signal(SIGPIPE, SIG_IGN)
        folder = "/tmp/cvy-guest-\(UInt32.random(in: .min ... .max))"
        try makeFolder(folder)
        socket = "\(folder)/guest.sock"
        reactor = try Reactor()
        var pair = try socketPair()
        let ours = pair.takeFirst()
        let theirs = pair.takeSecond().release()
        toAgent = try ByteStream(ours, reactor: reactor)
        let listener = try ByteStream(try listenUnix(socket), reactor: reactor)
        let (stopped, stop) = AsyncStream<Void>.makeStream()
        self.stopped = stopped
        let (record, reactor) = (record, reactor)
        let hello = GuestHello(
            abilities: [.exec, .terminal, .clock, .shutdown, .network, .figures], agentVersion: "test",
            bootID: "boot-1",
            timings: GuestBootTimings(agentStarted: .milliseconds(900)), problem: problem)
        let (ready, isReady) = AsyncStream<EventLoop.Waker>.makeStream()
        startThread(named: "agent") {
            do {
                let loop = try EventLoop()
                let duties = RecordedDuties(record)
                let server = try AgentServer(
                    loop: loop, link: FileDescriptor(owning: theirs), hello: hello, duties: duties)
                try server.begin()
                loop.onWake = { loop.stop() }
                isReady.yield(loop.waker)
                try loop.run()
                server.end()
            } catch {
                record.add("agent failed: \(error)")
            }
            isReady.finish()
            stop.finish()
        }
        let wakes = Task { for await waker in ready { self.waker.withLock { $0 = waker } } }
        let accepts = Task {
            while !Task.isCancelled {
                guard (try? await reactor.readable(listener.raw)) != nil else { return }
                guard let found = try? acceptUnix(listener.raw) else { continue }
                guard let stream = try? ByteStream(found, reactor: reactor) else { return }
                self.client.withLock { $0 = stream }
                while let bytes = try? await stream.read(), !bytes.isEmpty {
                    guard (try? await self.toAgent.write(bytes)) != nil else { return }
                }
                self.client.withLock { $0 = nil }
            }
        }
        let forwards = Task {
            while let bytes = try? await self.toAgent.read(), !bytes.isEmpty {
                let stream = self.client.withLock { $0 }
                _ = try? await stream?.write(bytes)
            }
        }
        tasks.withLock { $0 = [wakes, accepts, forwards] }
    }

    var connector: UnixGuestConnector { UnixGuestConnector(reactor: reactor) }

    func connect() async throws -> any GuestSession {
        try await connector.connect(to: socket, deadline: .seconds(20))
    }

    /// A session of a machine that is configured and idle.
    func idle() async throws -> any GuestSession {
        let session = try await connect()
        try await session.configure(GuestConfiguration(hostname: "h", purpose: .idle))
        return session
    }

    /// Bytes as a host would write them, without a session.
    func raw() async throws -> ByteStream { try await ByteStream.connect(to: socket, reactor: reactor) }

    func end() async {
        while waker.withLock({ $0 == nil }) { await Task.yield() }
        waker.withLock { $0?.wake() }
        for await _ in stopped {}
        for task in tasks.withLock({ $0 }) {
            task.cancel()
            await task.value
        }
        reactor.shutdown()
        try? removeTree(folder)
    }
}

/// Runs `body` with an agent, and ends it.
func withAgent(problem: CoveyError? = nil, _ body: (AgentHarness) async throws -> Void) async throws {
    let harness = try AgentHarness(problem: problem)
    do {
        try await withoutActuallyEscaping(body) { body in try await body(harness) }
    } catch {
        await harness.end()
        throw error
    }
    await harness.end()
}

/// All that a program wrote, and how it ended.
struct Collected {
    var output: [UInt8] = []
    var error: [UInt8] = []
    var dropped: UInt64 = 0
    var exit: GuestExit?
    var text: String { String(decoding: output, as: UTF8.self) }
    var errorText: String { String(decoding: error, as: UTF8.self) }
}

func collect(_ stream: any GuestExecStream) async throws -> Collected {
    var all = Collected()
    while let item = try await stream.next() {
        switch item {
        case .bytes(.standardOutput, _, let bytes): all.output += bytes
        case .bytes(.standardError, _, let bytes): all.error += bytes
        case .dropped(_, let count): all.dropped += count
        case .ended(let exit): all.exit = exit
        }
    }
    return all
}

func shell(
    _ script: String, id: String = "x", input: Bool = false, terminal: Bool = false, user: String? = nil,
    overflow: GuestOverflow = .block
) -> GuestExecRequest {
    GuestExecRequest(
        id: id,
        program: Program(
            arguments: ["sh", "-c", script], user: user, terminal: terminal, standardInput: input),
        overflow: overflow)
}

/// A generator with a seed, so that a failure can be repeated. Source: SplitMix64, Steele et al., 2014.
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &self) }
    }
}
