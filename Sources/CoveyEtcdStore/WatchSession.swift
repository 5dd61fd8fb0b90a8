internal import CoveyModel
internal import CoveyStore
internal import GRPCCore
internal import Synchronization

/// One stream of one watch. A response is taken from the connection when it is asked for, so that a slow reader
/// holds the member back, not our memory. It ends when it is let go.
final class WatchSession: Sendable {
    /// The watch id of the answer to a request for a sign.
    static let manual: Int64 = -1

    private let demands: AsyncStream<Void>.Continuation
    private let responses: AsyncThrowingStream<Etcdserverpb_WatchResponse, any Error>
    private let watchdog: Watchdog
    private let work: Task<Void, Never>
    private let clock: StoreClock

    /// Begins a stream with one watch on it.
    ///
    /// - Parameters:
    ///   - closing: Ends the stream with its error when it is closed.
    ///   - silent: Told of a connection that says nothing any more.
    init(
        _ connection: EtcdConnection, create: Etcdserverpb_WatchCreateRequest, times: EtcdTimes, clock: StoreClock,
        closing: RevisionSignal, silent: @escaping @Sendable () -> Void = {}
    ) {
        let (demanded, demands) = AsyncStream<Void>.makeStream()
        let (requests, ask) = AsyncStream<Etcdserverpb_WatchRequest>.makeStream()
        let (responses, answer) = AsyncThrowingStream<Etcdserverpb_WatchResponse, any Error>.makeStream()
        let watchdog = Watchdog(silence: times.silence, sign: times.sign)
        self.demands = demands
        self.responses = responses
        self.watchdog = watchdog
        self.clock = clock
        var first = Etcdserverpb_WatchRequest()
        first.createRequest = create
        ask.yield(first)
        work = Task {
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await connection.watch(requests) { messages in
                            var messages = messages.makeAsyncIterator()
                            for await _ in demanded {
                                guard let message = try await messages.next() else { return }
                                watchdog.heard()
                                answer.yield(message)
                            }
                        }
                    }
                    group.addTask { try await closing.wait(for: Revision(1)) }
                    group.addTask {
                        while true {
                            try await clock.sleep(clock.elapsed() + min(times.silence, times.sign) / 4)
                            switch watchdog.look(now: clock.elapsed()) {
                            case .patient: break
                            case .ask:
                                var request = Etcdserverpb_WatchRequest()
                                request.progressRequest = Etcdserverpb_WatchProgressRequest()
                                ask.yield(request)
                            case .giveUp:
                                silent()
                                throw CoveyError(
                                    .unavailable, "\(connection.place) says nothing on a watch any more")
                            }
                        }
                    }
                    defer { group.cancelAll() }
                    try await group.next()
                }
                answer.finish()
            } catch let error as EtcdFailure {
                switch error.verdict(.repeatable) {
                case .elsewhere(let failure), .final(let failure), .outOfRange(let failure), .noSpace(let failure):
                    answer.finish(throwing: failure)
                }
            } catch { answer.finish(throwing: error) }
            ask.finish()
        }
    }

    deinit {
        demands.finish()
        work.cancel()
    }

    /// Waits for the next response; nil is the stream's end. One caller at a time.
    func next() async throws -> Etcdserverpb_WatchResponse? {
        watchdog.wait(now: clock.elapsed())
        demands.yield(())
        var iterator = responses.makeAsyncIterator()
        return try await iterator.next()
    }
}

/// Notices that nothing is said to one who waits.
private final class Watchdog: Sendable {
    enum Advice {
        case patient
        case ask
        case giveUp
    }

    private struct State {
        var waitingSince: Duration?
        var hasAsked = false
    }

    private let silence: Duration
    private let sign: Duration
    private let state = Mutex(State())

    init(silence: Duration, sign: Duration) {
        self.silence = silence
        self.sign = sign
    }

    func wait(now: Duration) { state.withLock { $0 = State(waitingSince: now) } }

    func heard() { state.withLock { $0 = State() } }

    func look(now: Duration) -> Advice {
        state.withLock { state in
            guard let since = state.waitingSince else { return .patient }
            if now - since > silence + sign { return .giveUp }
            if now - since > silence, !state.hasAsked {
                state.hasAsked = true
                return .ask
            }
            return .patient
        }
    }
}
