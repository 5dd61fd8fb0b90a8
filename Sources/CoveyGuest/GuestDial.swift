internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Connects to what listens in the machine: a port of `127.0.0.1`, then of `::1`, or a Unix socket. Lives on the agent's
/// loop.
final class GuestDial {
    private enum Address { case v4, v6 }

    private let endpoint: GuestEndpoint
    private let loop: EventLoop
    private let done: (Result<Int32, CoveyError>) -> Void
    private var waiting: [Address] = [.v4, .v6]
    private var descriptor: Int32?
    private var timer: EventLoop.Timer?

    init(_ endpoint: GuestEndpoint, loop: EventLoop, _ done: @escaping (Result<Int32, CoveyError>) -> Void) {
        self.endpoint = endpoint
        self.loop = loop
        self.done = done
    }

    /// Begins; `done` is called once, in a later turn of the loop.
    func begin() {
        timer = loop.after(.seconds(10)) { [weak self] in self?.fail("does not answer") }
        loop.post { [weak self] in self?.connectNext(0) }
    }

    /// Gives it up; `done` is not called any more.
    func cancel() {
        if let timer { loop.cancel(timer) }
        timer = nil
        dropDescriptor()
    }

    private func connectNext(_ failure: Int32) {
        guard timer != nil else { return }
        switch endpoint {
        case .socket(let path):
            do throws(SystemError) {
                let socket = try connectUnix(path)
                try setNonBlocking(socket.raw)
                finish(.success(socket.release()))
            } catch {
                fail("cannot be reached: \(error.reason)")
            }
        case .port(let port):
            guard !waiting.isEmpty else {
                return failure == ECONNREFUSED ? fail("has no listener") : fail(String(cString: strerror(failure)))
            }
            connect(waiting.removeFirst(), port)
        }
    }

    private func connect(_ address: Address, _ port: UInt16) {
        let family = address == .v4 ? AF_INET : AF_INET6
        // SOCK_NONBLOCK and SOCK_CLOEXEC are O_NONBLOCK and O_CLOEXEC.
        let opened = socket(family, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK | O_CLOEXEC, 0)
        guard opened >= 0 else { return connectNext(errno) }
        descriptor = opened
        var one: Int32 = 1
        setsockopt(opened, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        let result: Int32
        switch address {
        case .v4:
            var target = sockaddr_in()
            target.sin_family = sa_family_t(AF_INET)
            target.sin_port = port.bigEndian
            target.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            result = withUnsafePointer(to: &target) { target in
                target.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(opened, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        case .v6:
            var target = sockaddr_in6()
            target.sin6_family = sa_family_t(AF_INET6)
            target.sin6_port = port.bigEndian
            target.sin6_addr = in6addr_loopback
            result = withUnsafePointer(to: &target) { target in
                target.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(opened, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
        if result == 0 { return succeed() }
        guard errno == EINPROGRESS else {
            let failure = errno
            dropDescriptor()
            return connectNext(failure)
        }
        do throws(SystemError) {
            try loop.add(opened, .writable) { [weak self] _ in self?.settle(opened) }
        } catch {
            fail(error.reason)
        }
    }

    private func settle(_ opened: Int32) {
        var failure: Int32 = 0
        var length = socklen_t(4)
        let asked = getsockopt(opened, SOL_SOCKET, SO_ERROR, &failure, &length)
        if asked == 0 && failure == 0 { return succeed() }
        dropDescriptor()
        // Somebody was there: another address would only tell that nobody is at that one.
        if failure == ECONNRESET { return fail("reset the connection") }
        connectNext(failure)
    }

    private func succeed() {
        guard let opened = descriptor else { return }
        loop.remove(opened)
        descriptor = nil
        finish(.success(opened))
    }

    private func fail(_ why: String) {
        let what = if case .port(let port) = endpoint { "port \(port)" } else { "\(endpoint)" }
        finish(.failure(CoveyError(.unavailable, "\(what) \(why)")))
    }

    private func finish(_ result: Result<Int32, CoveyError>) {
        guard timer != nil else {
            if case .success(let opened) = result { close(opened) }
            return
        }
        cancel()
        done(result)
    }

    private func dropDescriptor() {
        guard let descriptor else { return }
        loop.remove(descriptor)
        close(descriptor)
        self.descriptor = nil
    }
}
