internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// One attempt of a probe. Lives on the agent's loop.
final class ProbeAttempt {
    private static let loopback: [IPAddress] = [IPAddress("127.0.0.1"), IPAddress("::1")].compactMap(\.self)
    /// What is read of an HTTP answer, at most, before its first line has to be there.
    private static let longestHead = 4096

    private let action: Probe.Action
    private let loop: EventLoop
    private let defaults: ProgramDefaults
    private let done: (String?) -> Void
    private var timer: EventLoop.Timer?
    private var socket: Int32?
    private var head: [UInt8] = []
    private var isOver = false

    /// The program that it runs, for who reaps children.
    private(set) var exec: Exec?

    /// Begins; `done` is called once, with why it failed, or nil.
    init(_ probe: Probe, _ defaults: ProgramDefaults, loop: EventLoop, done: @escaping (String?) -> Void) {
        action = probe.action
        self.defaults = defaults
        self.loop = loop
        self.done = done
        timer = loop.after(.milliseconds(probe.timeoutMilliseconds)) { [weak self] in
            self?.end("no answer within \(Duration.milliseconds(probe.timeoutMilliseconds).text)")
        }
        switch action {
        case .exec(let arguments): run(arguments)
        case .tcp, .http: connect(to: 0, after: nil)
        }
    }

    private func end(_ failure: String?) {
        guard !isOver else { return }
        isOver = true
        if let timer { loop.cancel(timer) }
        closeSocket()
        if let exec, exec.exit == nil { attempt { () throws(SystemError) in try exec.signal(SIGKILL) } }
        // Not from within a handler of what is let go here.
        loop.post { self.done(failure) }
    }

    /// Gives up without telling.
    func cancel() {
        guard !isOver else { return }
        isOver = true
        if let timer { loop.cancel(timer) }
        closeSocket()
    }

    // MARK: exec

    private func run(_ arguments: [String]) {
        let request = GuestExecRequest(
            id: "probe", program: Program(arguments: arguments), overflow: .dropOldest)
        let exec = Exec(request, defaults, loop: loop)
        self.exec = exec
        exec.onEnd = { [weak self, weak exec] in
            guard let exec, let exit = exec.exit else { return }
            exec.close()
            self?.end(ProbeAttempt.failure(exit))
        }
        exec.begin()
    }

    private static func failure(_ exit: GuestExit) -> String? {
        switch exit {
        case .exited(0): nil
        case .exited(let code): "exit code \(code)"
        case .signalled(let signal): "ended by signal \(signal)"
        case .notStarted(_, let message): message
        }
    }

    // MARK: tcp and http

    private var port: UInt16 {
        switch action {
        case .exec: 0
        case .tcp(let port), .http(let port, _): port
        }
    }

    /// Asks one address after the other. What the first said counts: a machine without IPv6 says nothing of the second.
    private func connect(to index: Int, after failure: String?) {
        closeSocket()
        guard index < ProbeAttempt.loopback.count else { return end(failure ?? "there is no address to ask") }
        let peer = SocketEndpoint(ProbeAttempt.loopback[index], port: port)
        do throws(SystemError) {
            let raw = try beginTCP(peer).release()
            socket = raw
            try loop.add(raw, .writable) { [weak self] _ in
                do throws(SystemError) {
                    try checkConnected(raw, peer)
                    self?.talk(raw)
                } catch { self?.refused(index, failure ?? ProbeAttempt.reason(error)) }
            }
        } catch { refused(index, failure ?? ProbeAttempt.reason(error)) }
    }

    private func refused(_ index: Int, _ failure: String) {
        closeSocket()
        // Not from within a handler of what is let go there.
        loop.post { [weak self] in
            guard let self, !self.isOver else { return }
            self.connect(to: index + 1, after: failure)
        }
    }

    private func talk(_ raw: Int32) {
        guard case .http(_, let path) = action else { return end(nil) }
        let request =
            "GET \(path) HTTP/1.1\r\nHost: localhost:\(port)\r\nUser-Agent: covey-probe\r\n"
            + "Accept: */*\r\nConnection: close\r\n\r\n"
        do throws(SystemError) {
            let bytes = Array(request.utf8)
            // A fresh connection has room for more than the longest request.
            guard try writeSome(raw, bytes[...]) == bytes.count else { return end("it does not take a request") }
            loop.remove(raw)
            try loop.add(raw, .readable) { [weak self] _ in self?.read(raw) }
        } catch { end(ProbeAttempt.reason(error)) }
    }

    private func read(_ raw: Int32) {
        do throws(SystemError) {
            while let bytes = try readSome(raw, limit: 1024) {
                if bytes.isEmpty { return end("it ended the connection without an answer") }
                head += bytes
                if head.contains(10) || head.count > ProbeAttempt.longestHead { return end(judged()) }
            }
        } catch { end(ProbeAttempt.reason(error)) }
    }

    /// Why the answer's first line is no success. Source: RFC 9112, 4.
    private func judged() -> String? {
        let line = String(decoding: head.prefix { $0 != 10 && $0 != 13 }.prefix(80), as: UTF8.self)
        let words = line.split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[0].hasPrefix("HTTP/"), let status = Int(words[1]) else {
            return "its answer is no HTTP"
        }
        return (200...399).contains(status) ? nil : "HTTP status \(status)"
    }

    private static func reason(_ error: SystemError) -> String {
        error.isErrno(ECONNREFUSED) ? "nobody listens" : error.reason
    }

    private func closeSocket() {
        guard let raw = socket else { return }
        socket = nil
        loop.remove(raw)
        close(raw)
    }
}
