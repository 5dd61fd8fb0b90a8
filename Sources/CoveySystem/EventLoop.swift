internal import CCovey
internal import Glibc

/// A single-threaded loop over epoll: descriptors, timers, and work posted by its own handlers.
///
/// The guard and the guest agent run wholly on one; in the daemon ``Reactor`` runs one on a thread of its own.
/// Not thread-safe: everything but ``Waker/wake()`` is called on the thread that runs the loop.
/// Source: epoll(7).
package final class EventLoop {
    /// What a descriptor is ready for.
    package struct Readiness: OptionSet, Sendable {
        /// The bits of epoll.
        package let rawValue: UInt32
        /// Readiness from the bits of epoll.
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        /// Bytes, a connection, or the end can be read.
        package static let readable = Readiness(rawValue: 0x001)
        /// Bytes can be written.
        package static let writable = Readiness(rawValue: 0x004)
        /// An error waits; always reported.
        package static let failed = Readiness(rawValue: 0x008)
        /// The other side is gone; always reported.
        package static let hungUp = Readiness(rawValue: 0x010)
    }

    /// Ends a ``EventLoop/wait`` from any thread.
    package struct Waker: Sendable {
        fileprivate let descriptor: Int32
        /// Makes the loop turn once more.
        package func wake() { _ = eventfd_write(descriptor, 1) }
    }

    /// Names a timer, to cancel it.
    package struct Timer: Hashable, Sendable {
        fileprivate let number: UInt64
    }

    private let epoll: FileDescriptor
    private let event: FileDescriptor
    private var handlers: [Int32: (serial: UInt32, handler: (Readiness) -> Void)] = [:]
    private var timers: [(due: ContinuousClock.Instant, timer: Timer, body: () -> Void)] = []
    private var posted: [() -> Void] = []
    private var stopping = false
    private var serial: UInt32 = 0
    private var timerNumber: UInt64 = 0

    /// Called after each ``Waker/wake()``.
    package var onWake: (() -> Void)?

    /// Makes a loop. Errors: no descriptor left.
    package init() throws(SystemError) {
        epoll = FileDescriptor(owning: try check("epoll_create1") { epoll_create1(O_CLOEXEC) })
        event = FileDescriptor(owning: try check("eventfd") { eventfd(0, O_CLOEXEC | O_NONBLOCK) })
        try control(EPOLL_CTL_ADD, event.raw, .readable, serial: 0)
    }

    /// What wakes this loop from another thread, as long as the loop lives.
    package var waker: Waker { Waker(descriptor: event.raw) }

    /// Watches a descriptor, level-triggered, until ``remove(_:)``. It must be removed before it is closed.
    package func add(
        _ descriptor: Int32, _ interest: Readiness, handler: @escaping (Readiness) -> Void
    ) throws(SystemError) {
        serial &+= 1
        try control(EPOLL_CTL_ADD, descriptor, interest, serial: serial)
        handlers[descriptor] = (serial, handler)
    }

    /// Changes what a watched descriptor is watched for; the empty set pauses it (failure is still reported).
    package func change(_ descriptor: Int32, _ interest: Readiness) throws(SystemError) {
        guard let entry = handlers[descriptor] else { return }
        try control(EPOLL_CTL_MOD, descriptor, interest, serial: entry.serial)
    }

    /// Ends the watch of a descriptor; one that is not watched is left alone.
    package func remove(_ descriptor: Int32) {
        guard handlers.removeValue(forKey: descriptor) != nil else { return }
        _ = epoll_ctl(epoll.raw, EPOLL_CTL_DEL, descriptor, nil)
    }

    /// Runs `body` once after a time on the boot-time clock.
    @discardableResult
    package func after(_ delay: Duration, _ body: @escaping () -> Void) -> Timer {
        timerNumber += 1
        let timer = Timer(number: timerNumber)
        let due = ContinuousClock.now + delay
        let index = timers.firstIndex { $0.due > due } ?? timers.endIndex
        timers.insert((due, timer, body), at: index)
        return timer
    }

    /// Takes a timer back; one that has run is left alone.
    package func cancel(_ timer: Timer) { timers.removeAll { $0.timer == timer } }

    /// Runs `body` in the next turn of the loop.
    package func post(_ body: @escaping () -> Void) { posted.append(body) }

    /// Runs until ``stop()``.
    package func run() throws(SystemError) {
        stopping = false
        while !stopping { try turn() }
    }

    /// Ends ``run()`` after this turn.
    package func stop() { stopping = true }

    /// Waits for events, at most `limit` where given, and handles them.
    package func turn(limit: Duration? = nil) throws(SystemError) {
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        let count = Int(epoll_wait(epoll.raw, &events, 64, timeout(limit)))
        if count < 0 && errno != EINTR { throw SystemError("epoll_wait") }
        for event in events.prefix(max(count, 0)) {
            let descriptor = Int32(truncatingIfNeeded: event.data.u64 & 0xFFFF_FFFF)
            if descriptor == self.event.raw {
                var value: eventfd_t = 0
                _ = eventfd_read(descriptor, &value)
                onWake?()
            } else if let entry = handlers[descriptor], entry.serial == UInt32(event.data.u64 >> 32) {
                entry.handler(Readiness(rawValue: event.events))
            }
        }
        runTimers()
        let work = posted
        posted = []
        for body in work { body() }
    }

    private func runTimers() {
        while let first = timers.first, first.due <= ContinuousClock.now {
            timers.removeFirst()
            first.body()
        }
    }

    private func timeout(_ limit: Duration?) -> Int32 {
        if !posted.isEmpty { return 0 }
        var wait = limit
        if let first = timers.first {
            let left = max(.zero, first.due - ContinuousClock.now)
            wait = min(wait ?? left, left)
        }
        guard let wait else { return -1 }
        let (seconds, attoseconds) = wait.components
        return Int32(clamping: seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }

    private func control(
        _ operation: Int32, _ descriptor: Int32, _ interest: Readiness, serial: UInt32
    ) throws(SystemError) {
        var event = epoll_event()
        event.events = interest.rawValue
        event.data.u64 = UInt64(serial) << 32 | UInt64(UInt32(bitPattern: descriptor))
        try check("epoll_ctl", "descriptor \(descriptor)") { epoll_ctl(epoll.raw, operation, descriptor, &event) }
    }
}
