internal import CoveySystem
internal import Glibc

/// The byte stream to the host.
///
/// A virtio-serial port whose host is not connected is always readable (its end) and hung up, so it is watched
/// edge-triggered: the driver wakes its waiters when the host comes, goes, sends, or takes.
/// Source: drivers/char/virtio_console.c (port_fops_poll, port_fops_read, handle_control_message).
final class AgentLink {
    private let descriptor: FileDescriptor
    private let loop: EventLoop
    private var queue: [[UInt8]] = []
    private var sent = 0

    /// Bytes that wait to be written.
    private(set) var queued = 0
    /// Bytes that the host's side has taken since the queue was last dropped.
    private(set) var taken = 0
    /// What came.
    var onBytes: ([UInt8]) -> Void = { _ in }
    /// The host is gone; it may come again.
    var onGone: () -> Void = {}
    /// There is room again.
    var onDrained: () -> Void = {}

    init(_ descriptor: consuming FileDescriptor, loop: EventLoop) throws(SystemError) {
        try setNonBlocking(descriptor.raw)
        self.descriptor = descriptor
        self.loop = loop
    }

    /// Begins to watch; after the callbacks are set.
    func begin() throws(SystemError) {
        let edge = EventLoop.Readiness(rawValue: 1 << 31)
        try loop.add(descriptor.raw, [.readable, .writable, edge]) { [weak self] _ in
            self?.write()
            self?.read()
        }
    }

    /// Writes bytes, now or as soon as the host takes them.
    func send(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        queue.append(bytes)
        queued += bytes.count
        write()
    }

    /// Drops what waits to be written.
    func dropQueue() {
        queue = []
        sent = 0
        queued = 0
        taken = 0
    }

    private func read() {
        for _ in 0..<16 {
            do throws(SystemError) {
                guard let bytes = try readSome(descriptor.raw, limit: 65536) else { return }
                if bytes.isEmpty { return gone() }
                onBytes(bytes)
            } catch {
                return gone()
            }
        }
        loop.post { [weak self] in self?.read() }
    }

    private func write() {
        let before = queued
        do throws(SystemError) {
            while let first = queue.first {
                let put = try writeSome(descriptor.raw, first[sent...])
                if put == 0 { break }
                sent += put
                taken += put
                queued -= put
                if sent == first.count {
                    queue.removeFirst()
                    sent = 0
                }
            }
        } catch {
            return gone()
        }
        if queued < before { onDrained() }
    }

    /// The driver hears of a host's coming and going later than of its bytes: where the answer to a new session could
    /// not be written yet, this end is still the one before, and the answer goes out when the driver knows the host.
    private func gone() {
        guard queue.isEmpty || taken > 0 else { return }
        dropQueue()
        onGone()
    }

    /// Writes what waits, blocking at most `limit`: for the last words before the machine ends.
    func flush(limit: Duration) {
        let end = ContinuousClock.now + limit
        while queued > 0, ContinuousClock.now < end {
            write()
            // The machine ends here: its one thread has nothing else to do.
            if queued > 0 { usleep(2000) }
        }
    }

    /// Ends the watch.
    func end() { loop.remove(descriptor.raw) }
}
