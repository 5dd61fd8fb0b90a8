internal import Synchronization

/// A worker's letters: any thread puts them in, the worker takes all that wait.
///
/// Bounded by its senders: a run has a handful of events, and hints to look again become one.
final class Mailbox<Letter: Hashable & Sendable>: Sendable {
    private struct State {
        var letters: [Letter] = []
        var closed = false
    }

    private let state = Mutex(State())
    private let bell: AsyncStream<Void>.Continuation
    /// Rings when letters wait; one reader.
    let rings: AsyncStream<Void>

    init() { (rings, bell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    /// Puts a letter in; one that waits already is not put in twice. Returns false where nobody will read it.
    @discardableResult
    func post(_ letter: Letter) -> Bool {
        let open = state.withLock { state in
            if !state.closed && !state.letters.contains(letter) { state.letters.append(letter) }
            return !state.closed
        }
        if open { bell.yield() }
        return open
    }

    /// Takes all letters, in order.
    func take() -> [Letter] {
        state.withLock { state in
            defer { state.letters = [] }
            return state.letters
        }
    }

    /// Takes all letters and lets none in any more.
    func close() -> [Letter] {
        bell.finish()
        return state.withLock { state in
            defer { state = State(closed: true) }
            return state.letters
        }
    }
}

/// Tells any number of waiters that something changed.
final class Signal: Sendable {
    private struct State {
        var waiters: [UInt64: AsyncStream<Void>.Continuation] = [:]
        var next: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Wakes everybody.
    func notify() {
        let waiters = state.withLock { Array($0.waiters.values) }
        for waiter in waiters { waiter.yield() }
    }

    /// A stream that yields after each ``notify()`` (several may become one), from now on.
    func subscribe() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let key = state.withLock { state in
            state.next += 1
            state.waiters[state.next] = continuation
            return state.next
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { _ = $0.waiters.removeValue(forKey: key) }
        }
        return stream
    }
}
