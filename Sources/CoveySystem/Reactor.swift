internal import CCovey
internal import Glibc
internal import Synchronization

/// Waits for descriptors on one thread of its own, so that no wait blocks the cooperative pool.
///
/// One waiter for reading and one for writing a descriptor at a time. A waiter must have ended
/// (by readiness or by cancelling its task) before the descriptor is closed.
package final class Reactor: Sendable {
    private enum Direction { case read, write }

    private struct Waiting {
        var read: (id: UInt64, continuation: CheckedContinuation<Void, any Error>)?
        var write: (id: UInt64, continuation: CheckedContinuation<Void, any Error>)?
    }

    private struct State {
        var waiting: [Int32: Waiting] = [:]
        var nextID: UInt64 = 0
        var cancelled: Set<UInt64> = []
        var stopped = false
    }

    private let epoll: Int32
    private let event: Int32
    private let state = Mutex(State())

    /// Starts the thread. Errors: no descriptor left.
    package init() throws(SystemError) {
        epoll = try check("epoll_create1") { epoll_create1(O_CLOEXEC) }
        event = try check("eventfd") { eventfd(0, O_CLOEXEC | O_NONBLOCK) }
        var wake = epoll_event()
        wake.events = EPOLLIN.rawValue
        wake.data.fd = event
        try check("epoll_ctl") { epoll_ctl(epoll, EPOLL_CTL_ADD, event, &wake) }
        startThread(named: "covey-reactor") { self.run() }
    }

    /// Ends the thread; whoever waits gets `CancellationError`.
    package func shutdown() {
        state.withLock { $0.stopped = true }
        _ = eventfd_write(event, 1)
    }

    /// Suspends until the descriptor can be read, is at its end, or failed.
    package func readable(_ descriptor: Int32) async throws { try await wait(descriptor, .read) }

    /// Suspends until the descriptor can be written or failed.
    package func writable(_ descriptor: Int32) async throws { try await wait(descriptor, .write) }

    private func wait(_ descriptor: Int32, _ direction: Direction) async throws {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let failure: (any Error)? = state.withLock { state in
                    if state.stopped || state.cancelled.remove(id) != nil { return CancellationError() }
                    var waiting = state.waiting[descriptor] ?? Waiting()
                    switch direction {
                    case .read:
                        precondition(waiting.read == nil, "two readers wait on one descriptor")
                        waiting.read = (id, continuation)
                    case .write:
                        precondition(waiting.write == nil, "two writers wait on one descriptor")
                        waiting.write = (id, continuation)
                    }
                    if let failure = arm(descriptor, waiting) { return failure }
                    state.waiting[descriptor] = waiting
                    return nil
                }
                if let failure { continuation.resume(throwing: failure) }
            }
        } onCancel: {
            cancel(descriptor, id)
        }
        state.withLock { _ = $0.cancelled.remove(id) }
    }

    private func cancel(_ descriptor: Int32, _ id: UInt64) {
        let continuation: CheckedContinuation<Void, any Error>? = state.withLock { state in
            guard var waiting = state.waiting[descriptor] else {
                state.cancelled.insert(id)
                return nil
            }
            let found: CheckedContinuation<Void, any Error>
            if let read = waiting.read, read.id == id {
                found = read.continuation
                waiting.read = nil
            } else if let write = waiting.write, write.id == id {
                found = write.continuation
                waiting.write = nil
            } else {
                state.cancelled.insert(id)
                return nil
            }
            settle(descriptor, waiting, &state)
            return found
        }
        continuation?.resume(throwing: CancellationError())
    }

    /// Registers what is still waited for, or drops the descriptor. Called with the lock held.
    private func settle(_ descriptor: Int32, _ waiting: Waiting, _ state: inout State) {
        if waiting.read == nil && waiting.write == nil {
            state.waiting[descriptor] = nil
            _ = epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, nil)
        } else {
            state.waiting[descriptor] = waiting
            _ = arm(descriptor, waiting)
        }
    }

    private func arm(_ descriptor: Int32, _ waiting: Waiting) -> SystemError? {
        var event = epoll_event()
        event.events = EPOLLONESHOT.rawValue
        if waiting.read != nil { event.events |= EPOLLIN.rawValue | EPOLLRDHUP.rawValue }
        if waiting.write != nil { event.events |= EPOLLOUT.rawValue }
        event.data.fd = descriptor
        if epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 { return nil }
        if errno == EEXIST && epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event) == 0 { return nil }
        return SystemError("epoll_ctl", "descriptor \(descriptor)")
    }

    private func run() {
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        while true {
            let count = Int(epoll_wait(epoll, &events, 64, -1))
            if count < 0 && errno != EINTR { break }
            for event in events.prefix(max(count, 0)) {
                if event.data.fd == self.event {
                    var value: eventfd_t = 0
                    _ = eventfd_read(self.event, &value)
                } else {
                    ready(event.data.fd, event.events)
                }
            }
            if state.withLock({ $0.stopped }) { break }
        }
        let left = state.withLock { state in
            state.stopped = true
            let left = state.waiting.values.flatMap { [$0.read?.continuation, $0.write?.continuation] }
            state.waiting = [:]
            return left
        }
        for case let continuation? in left { continuation.resume(throwing: CancellationError()) }
        _ = close(epoll)
        _ = close(event)
    }

    private func ready(_ descriptor: Int32, _ bits: UInt32) {
        let failed = bits & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
        let resumed = state.withLock { state -> [CheckedContinuation<Void, any Error>] in
            guard var waiting = state.waiting[descriptor] else { return [] }
            var resumed: [CheckedContinuation<Void, any Error>] = []
            if let read = waiting.read, failed || bits & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0 {
                resumed.append(read.continuation)
                waiting.read = nil
            }
            if let write = waiting.write, failed || bits & EPOLLOUT.rawValue != 0 {
                resumed.append(write.continuation)
                waiting.write = nil
            }
            settle(descriptor, waiting, &state)
            return resumed
        }
        for continuation in resumed { continuation.resume() }
    }
}
