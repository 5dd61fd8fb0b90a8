internal import CCovey
internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A stream between the host and a process or socket of the machine; it lives as long as its channel. Lives on the
/// agent's loop. What comes from it is read straight into frames, so that nothing is kept for a host that is slow.
final class HostStream {
    private struct Source {
        var descriptor: Int32
        /// Whether a read may bring something; else it is watched.
        var isReady = true
    }

    /// Bytes of input that are held at most.
    static let inputWindow = UInt64(GuestStreamRequest.window)

    let channel: UInt32
    private let loop: EventLoop
    private var sources: [GuestOutput: Source] = [:]
    private var written: [GuestOutput: UInt64] = [:]
    private var credits: [GuestOutput: UInt64] = [:]
    /// Bytes that are to be said on standard error, where nothing else speaks there.
    private var marks: [UInt8] = []
    private var input: Int32?
    private var isSocket = false
    private var isInputWatched = false
    private var queue: [[UInt8]] = []
    private var sent = 0
    private var queued: UInt64 = 0
    private var inputEnds = false
    private var exit: GuestExit?
    private var isAbandoned = false
    private var pidfd: Int32?
    private var connecting: GuestDial?

    /// Its process; nil where there is none, or none any more.
    private(set) var pid: Int32?
    /// Bytes of input that were taken.
    private(set) var inputTaken: UInt64 = 0
    /// Whether the host was told of its end.
    private(set) var isOver = false
    /// Called when there is more to send.
    var onOutput: () -> Void = {}
    /// Called when more input may be sent.
    var onInputDrained: () -> Void = {}
    /// Called when nothing is left of one that was abandoned.
    var onGone: () -> Void = {}

    init(_ attachment: GuestAttachment, loop: EventLoop) {
        channel = attachment.channel
        self.loop = loop
        for output in GuestOutput.allCases { credits[output] = UInt64(attachment.window) }
    }

    /// Begins; after the callbacks are set.
    func begin(_ purpose: GuestStreamRequest.Purpose, program: String, _ defaults: ProgramDefaults) {
        switch purpose {
        case .copy(let arguments, let user):
            start(
                Program(
                    arguments: [program, GuestStreamRequest.copyProgram] + arguments, workingDirectory: "/",
                    user: user ?? "0:0", standardInput: true), defaults)
        case .dial(let endpoint):
            isSocket = true
            connecting = GuestDial(endpoint, loop: loop) { [weak self] result in self?.connected(result) }
            connecting?.begin()
        }
    }

    private func start(_ program: Program, _ defaults: ProgramDefaults) {
        do throws(LaunchFailure) {
            let plain = ProgramDefaults(resetsOOMScore: defaults.resetsOOMScore)
            let launched = try launch(GuestExecRequest(id: "copy", program: program), plain)
            (pid, pidfd, input) = (launched.pid, launched.pidfd, launched.input)
            sources[.standardOutput] = Source(descriptor: launched.output)
            if let error = launched.error { sources[.standardError] = Source(descriptor: error) }
            for descriptor in [launched.input, launched.output].compactMap(\.self) {
                // F_SETPIPE_SZ: fewer turns; a kernel that refuses has its own size.
                _ = fcntl(descriptor, 1031, 1 << 20)
            }
            watch(launched.pidfd, .readable) { [weak self] in self?.reap() }
        } catch {
            exit = error.exit
        }
        writeInput()
        loop.post { [weak self] in self?.onOutput() }
    }

    private func connected(_ result: Result<Int32, CoveyError>) {
        connecting = nil
        switch result {
        case .success(let descriptor):
            sources[.standardOutput] = Source(descriptor: descriptor)
            let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
            if copy >= 0 { input = copy } else { exit = .notStarted(code: errno, message: "no descriptor is left") }
        case .failure(let error): exit = .notStarted(code: 111, message: error.message)
        }
        writeInput()
        onOutput()
    }

    // MARK: output

    /// The next frame for the host; nil while there is none.
    func nextFrame(_ session: GuestSideSession) -> [UInt8]? {
        for output in [GuestOutput.standardError, .standardOutput] {
            if let frame = read(output, session) { return frame }
        }
        let said = written[.standardError] ?? 0
        if !marks.isEmpty, said + UInt64(marks.count) <= credits[.standardError] ?? 0 {
            defer { marks = [] }
            written[.standardError] = said + UInt64(marks.count)
            return session.output(channel: channel, .standardError, offset: said, marks)
        }
        guard let exit, sources.isEmpty, marks.isEmpty, !isOver else { return nil }
        isOver = true
        return session.exit(channel: channel, GuestExitMessage(exit: exit, written: written))
    }

    private func read(_ output: GuestOutput, _ session: GuestSideSession) -> [UInt8]? {
        guard let source = sources[output], source.isReady else { return nil }
        let offset = written[output] ?? 0
        let room = (credits[output] ?? 0) - offset
        guard room > 0 else { return nil }
        let (frame, result) = session.output(
            channel: channel, output, offset: offset, limit: Int(min(room, UInt64(Frame.largestPiece)))
        ) { buffer in
            let got = Glibc.read(source.descriptor, buffer.baseAddress, buffer.count)
            return got < 0 ? -Int(errno) : got
        }
        if result > 0 {
            written[output] = offset + UInt64(result)
            return frame
        }
        if result == -Int(EINTR) { return read(output, session) }
        if result == -Int(EAGAIN) {
            sources[output]?.isReady = false
            watch(source.descriptor, .readable) { [weak self] in
                self?.loop.remove(source.descriptor)
                self?.sources[output]?.isReady = true
                self?.onOutput()
            }
            return nil
        }
        closeSource(output)
        if isSocket {
            // The other side reset it, or ended it in order.
            if result < 0 {
                exit = .exited(Int32(-result))
                closeInput()
            } else if input == nil {
                exit = .exited(0)
            } else {
                marks = [0]
            }
        }
        return nil
    }

    /// The host takes more.
    func credit(_ output: GuestOutput, upTo offset: UInt64) {
        if offset > credits[output] ?? 0, offset < 1 << 62 { credits[output] = offset }
    }

    private func closeSource(_ output: GuestOutput) {
        guard let source = sources.removeValue(forKey: output) else { return }
        loop.remove(source.descriptor)
        close(source.descriptor)
    }

    // MARK: input

    /// Input may be sent up to this offset.
    var inputCredit: UInt64 { inputTaken - queued + HostStream.inputWindow }

    /// Takes bytes. Returns false where the host broke the flow control.
    func take(at offset: UInt64, _ bytes: [UInt8]) -> Bool {
        guard offset == inputTaken, UInt64(bytes.count) <= inputCredit - inputTaken else { return false }
        inputTaken += UInt64(bytes.count)
        if input != nil || connecting != nil {
            queue.append(bytes)
            queued += UInt64(bytes.count)
        }
        writeInput()
        return true
    }

    /// No more input comes.
    func endInput() {
        inputEnds = true
        writeInput()
    }

    private func writeInput() {
        guard connecting == nil else { return }
        if let input {
            do throws(SystemError) {
                while let first = queue.first {
                    let put = try writeSome(input, first[sent...])
                    if put == 0 { break }
                    sent += put
                    queued -= UInt64(put)
                    if sent == first.count {
                        queue.removeFirst()
                        sent = 0
                    }
                }
            } catch {
                closeInput()
            }
        }
        if inputEnds && queue.isEmpty { closeInput() }
        watchInput(!queue.isEmpty)
        onInputDrained()
    }

    private func watchInput(_ wanted: Bool) {
        guard let input, wanted != isInputWatched else { return }
        isInputWatched = wanted
        if wanted { watch(input, .writable) { [weak self] in self?.writeInput() } } else { loop.remove(input) }
    }

    private func closeInput() {
        (queue, sent, queued) = ([], 0, 0)
        guard let input else { return }
        if isInputWatched { loop.remove(input) }
        isInputWatched = false
        if isSocket { shutdown(input, Int32(SHUT_WR)) }
        close(input)
        self.input = nil
        if isSocket && sources.isEmpty && exit == nil {
            exit = .exited(0)
            loop.post { [weak self] in self?.onOutput() }
        }
    }

    // MARK: end

    /// Takes the process's exit status, where it has ended.
    func reap() {
        guard let running = pid else { return }
        var code: Int32 = 0
        var signal: Int32 = 0
        let reaped = covey_guest_reap(running, &code, &signal)
        guard reaped != 0 else { return }
        exit = reaped < 0 ? .exited(255) : signal != 0 ? .signalled(signal) : .exited(code)
        pid = nil
        if let pidfd {
            loop.remove(pidfd)
            close(pidfd)
        }
        pidfd = nil
        closeInput()
        onInputDrained()
        onOutput()
        if isAbandoned { onGone() }
    }

    /// Lets go of everything: a process sees its archive cut off or its reader gone, and ends.
    func abandon() {
        isAbandoned = true
        connecting?.cancel()
        connecting = nil
        for output in GuestOutput.allCases { closeSource(output) }
        closeInput()
        guard let pid else { return loop.post { self.onGone() } }
        loop.after(.seconds(10)) { [weak self] in
            // A disk that does not answer holds it.
            if self?.pid == pid { _ = kill(pid, SIGKILL) }
        }
    }

    private func watch(_ descriptor: Int32, _ interest: EventLoop.Readiness, _ handler: @escaping () -> Void) {
        do throws(SystemError) {
            try loop.add(descriptor, interest) { _ in handler() }
        } catch {
            agentLog("a stream: \(error)")
        }
    }
}

extension GuestStreamRequest {
    /// The first argument of the agent's program where it copies.
    static let copyProgram = "covey-copy"
}
