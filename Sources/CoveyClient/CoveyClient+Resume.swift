internal import CoveyModel
internal import Synchronization

/// What of a program's output its caller has.
final class Relayed: Sendable {
    private struct State {
        var stdout: Int64
        var stderr: Int64
        var hasBegun: Bool
    }

    private let state: Mutex<State>
    private let output: @Sendable (ExecOutput) async throws -> Void

    init(
        offsets: (stdout: Int64, stderr: Int64), hasBegun: Bool,
        output: @escaping @Sendable (ExecOutput) async throws -> Void
    ) {
        state = Mutex(State(stdout: offsets.stdout, stderr: offsets.stderr, hasBegun: hasBegun))
        self.output = output
    }

    /// Bytes of standard output and error that the caller took.
    var offsets: (stdout: Int64, stderr: Int64) { state.withLock { ($0.stdout, $0.stderr) } }

    /// Whether the program is known to run.
    var hasBegun: Bool { state.withLock { $0.hasBegun } }

    func take(_ piece: ExecOutput) async throws {
        try await output(piece)
        state.withLock { state in
            state.hasBegun = true
            switch piece {
            case .started, .caughtUp, .exited: break
            case .stdout(let bytes): state.stdout += Int64(bytes.count)
            case .stderr(let bytes): state.stderr += Int64(bytes.count)
            }
        }
    }
}

/// Carries sizes and signals to whichever call relays the program this moment.
private final class ControlRelay: Sendable {
    private let current = Mutex<AsyncStream<ExecInput>.Continuation?>(nil)

    func subscribe() -> AsyncStream<ExecInput> {
        let (stream, continuation) = AsyncStream.makeStream(of: ExecInput.self, bufferingPolicy: .bufferingNewest(64))
        current.withLock { $0 = continuation }
        return stream
    }

    func carry(_ inputs: AsyncStream<ExecInput>) async {
        for await input in inputs { current.withLock { _ = $0?.yield(input) } }
    }
}

/// What is typed, kept where it could not be sent.
private final class Typed: Sendable {
    private let read: @Sendable () async throws -> [UInt8]?
    private let unsent = Mutex<[UInt8]>([])

    init(_ read: @escaping @Sendable () async throws -> [UInt8]?) { self.read = read }

    func next() async throws -> [UInt8]? {
        let kept = unsent.withLock { unsent in
            defer { unsent = [] }
            return unsent
        }
        return kept.isEmpty ? try await read() : kept
    }

    @Sendable func putBack(_ bytes: [UInt8]) { unsent.withLock { $0 += bytes } }
}

extension CoveyClient {
    /// How long a relay waits for a daemon that has gone to come back.
    package static let patience = Duration.seconds(20)

    /// Relays a program by a call, and where the daemon goes away by further ones.
    func outliving(
        _ relayed: Relayed, _ source: ExecSource, _ name: String, exec: String, size: TerminalSize?,
        recent: Int64?,
        _ first:
            @Sendable (ExecSource, @escaping @Sendable (ExecOutput) async throws -> Void) async throws -> ExecExit?
    ) async throws -> ExecExit? {
        let control = ControlRelay()
        async let _: Void = control.carry(source.control)
        let typed = source.standardInput.map { read in Typed(read) }
        func next() -> ExecSource {
            guard let typed else { return ExecSource(control: control.subscribe()) }
            return ExecSource(
                standardInput: { try await typed.next() }, control: control.subscribe(), unsent: typed.putBack)
        }
        do {
            return try await first(next()) { try await relayed.take($0) }
        } catch let lost as CoveyError where lost.code == .unavailable && relayed.hasBegun {
            return try await resume(relayed, next, name, exec: exec, size: size, recent: recent, after: lost)
        }
    }

    private func resume(
        _ relayed: Relayed, _ source: () -> ExecSource, _ name: String, exec: String, size: TerminalSize?,
        recent: Int64?, after lost: CoveyError
    ) async throws -> ExecExit? {
        var end = ContinuousClock.now + CoveyClient.patience
        while ContinuousClock.now < end {
            // No event tells that a daemon is back.
            try await Task.sleep(for: .milliseconds(200))
            guard CoveyClient.unreachable(endpoint) == nil else { continue }
            let before = relayed.offsets
            do {
                return try await attachOnce(
                    name, exec: exec, offsets: recent == nil ? before : nil, recent: recent, size: size,
                    source: source()
                ) { try await relayed.take($0) }
            } catch let error as CoveyError where error.code == .unavailable {
                if relayed.offsets != before { end = ContinuousClock.now + CoveyClient.patience }
            }
        }
        throw CoveyError(
            .unavailable, "the daemon went away and did not come back within \(CoveyClient.patience.text)",
            remedy: "the program goes on: covey attach \(name)/\(exec)", cause: lost)
    }
}
