internal import CoveyGuestProtocol
internal import Synchronization

/// Events for one reader, bounded: a guest that tells more than anybody reads is cut off.
final class EventQueue: Sendable {
    private struct State {
        var events: [GuestEvent] = []
        var waiting: CheckedContinuation<GuestEvent?, Never>?
        var finished = false
    }

    private static let most = 4096
    private let state = Mutex(State())

    var stream: AsyncStream<GuestEvent> {
        AsyncStream(unfolding: { await self.next() }, onCancel: { self.wakeReader() })
    }

    /// Adds an event. Returns false where there are too many.
    func add(_ event: GuestEvent, last: Bool = false) -> Bool {
        let (waiting, fits) = state.withLock { state -> (CheckedContinuation<GuestEvent?, Never>?, Bool) in
            guard !state.finished else { return (nil, true) }
            state.finished = last
            if let waiting = state.waiting {
                state.waiting = nil
                return (waiting, true)
            }
            guard last || state.events.count < EventQueue.most else { return (nil, false) }
            state.events.append(event)
            return (nil, true)
        }
        waiting?.resume(returning: event)
        return fits
    }

    private func wakeReader() {
        let waiting = state.withLock { state in
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume(returning: nil)
    }

    private func next() async -> GuestEvent? {
        await withCheckedContinuation { continuation in
            let (now, event) = state.withLock { state -> (Bool, GuestEvent?) in
                if !state.events.isEmpty { return (true, state.events.removeFirst()) }
                if state.finished || state.waiting != nil || Task.isCancelled { return (true, nil) }
                state.waiting = continuation
                return (false, nil)
            }
            if now { continuation.resume(returning: event) }
        }
    }
}
