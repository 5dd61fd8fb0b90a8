internal import CCovey
package import CoveyGuestProtocol
internal import CoveyModel
package import CoveySystem

/// The agent: serves one host at a time over the link, and runs programs that outlive the session.
///
/// Everything happens on the loop's thread.
package final class AgentServer {
    /// Programs that may run at once.
    package static let mostExecs = 256
    /// Programs that are kept after their end until somebody acknowledges them.
    package static let mostEnded = 64
    /// Bytes that wait to be written before output of programs is held back.
    private static let linkWindow = 128 << 10
    /// Bytes of answers that may wait: a host that asks and never reads is cut off.
    private static let mostQueued = 8 << 20

    private let loop: EventLoop
    private let link: AgentLink
    private let duties: any MachineDuties
    private var session = GuestSideSession()
    private var hello: GuestHello
    private var defaults = ProgramDefaults()
    private var execs: [String: Exec] = [:]
    private var order: [String] = []
    private var channels: [UInt32: String] = [:]
    private var lastServed = 0
    private var goingDown: GuestShutdown?
    private var mainTaken: (() -> Void)?
    private var programsEnded: (() -> Void)?
    private var inputCredits: [UInt32: UInt64] = [:]
    private var readiness: Readiness?
    private let streams: HostStreams

    /// Makes an agent on a stream. `hello` says what it is; whether it is configured is kept up here. `configured` is
    /// what an agent before this one, in the same boot, was told. `program` is this program's file.
    package init(
        loop: EventLoop, link: consuming FileDescriptor, hello: GuestHello, duties: any MachineDuties,
        configured: GuestConfiguration? = nil, program: String = "/proc/self/exe"
    ) throws(SystemError) {
        self.loop = loop
        streams = HostStreams(loop: loop, program: program)
        self.hello = hello
        self.duties = duties
        if let configured {
            defaults = ProgramDefaults(configured, resetsOOMScore: true)
            self.hello.hostname = configured.hostname
        }
        self.link = try AgentLink(link, loop: loop)
    }

    /// Begins to serve.
    package func begin() throws(SystemError) {
        link.onBytes = { [weak self] in self?.receive($0) }
        link.onGone = { [weak self] in self?.sessionGone() }
        link.onDrained = { [weak self] in self?.pump() }
        streams.onOutput = { [weak self] in self?.pump() }
        streams.onCredit = { [weak self] channel, credit in
            guard let self else { return }
            self.send(self.session.inputCredit(channel: channel, upTo: credit))
        }
        try link.begin()
    }

    /// Ends every program of a test's agent and lets go of the link.
    package func end() {
        for exec in execs.values {
            if exec.exit == nil, let pid = exec.pid {
                do throws(SystemError) { try exec.signal(9) } catch { agentLog("\(error)") }
                _ = covey_await_child(pid)
            }
            exec.close()
        }
        readiness?.end()
        streams.dropAll()
        link.end()
    }

    // MARK: session

    private func receive(_ bytes: [UInt8]) {
        session.receive(bytes)
        while let input = session.next() { handle(input) }
        pump()
    }

    private func handle(_ input: GuestSideSession.Input) {
        switch input {
        case .opened(let open):
            link.dropQueue()
            detachAll()
            hello.protocolVersion = min(open.version, guestProtocolVersion)
            hello.ready = hello.ready || readiness?.isReady == true
            send(session.hello(hello))
            readiness?.repeatProblem()
        case .request(let number, let request): answer(number, request)
        case .input(let channel, let offset, let bytes):
            if let stream = streams[channel] {
                if !stream.take(at: offset, bytes) { breakSession("more input than was asked for") }
                return
            }
            guard let exec = exec(on: channel) else { return }
            if !exec.input(at: offset, bytes) { breakSession("more input than was asked for") }
        case .inputEnd(let channel):
            exec(on: channel)?.endInput()
            streams[channel]?.endInput()
        case .outputCredit(let channel, let output, let offset):
            exec(on: channel)?.credit(output, upTo: offset)
            streams[channel]?.credit(output, upTo: offset)
        case .detach(let channel):
            streams.drop(channel)
            exec(on: channel)?.attachment = nil
            channels[channel] = nil
        case .broken(let fault, let farewell):
            agentLog("the host broke the protocol: \(fault)")
            send(farewell)
            detachAll()
        }
    }

    private func breakSession(_ why: String) {
        send(session.sessionEnded(CoveyError(.corrupt, "the host broke the protocol: \(why)")))
        sessionGone()
    }

    /// Whether a host has a session and takes what is said in it.
    private var isHeard: Bool { session.isOpen && link.taken > 0 }

    private func sessionGone() {
        session.reset()
        detachAll()
    }

    private func detachAll() {
        streams.dropAll()
        channels = [:]
        inputCredits = [:]
        for exec in execs.values where exec.attachment != nil { exec.attachment = nil }
    }

    private func exec(on channel: UInt32) -> Exec? {
        guard let id = channels[channel], let exec = execs[id], exec.attachment?.channel == channel else { return nil }
        return exec
    }

    private func send(_ bytes: [UInt8]) {
        link.send(bytes)
        if link.queued > AgentServer.mostQueued {
            link.dropQueue()
            sessionGone()
        }
    }

    /// Tells the host something.
    package func tell(_ event: GuestEvent) { send(session.event(event)) }

    /// Sends output while the link takes it, one piece of each program in turn.
    private func pump() {
        pumpPrograms()
        streams.pump(session, while: { link.queued < AgentServer.linkWindow }, send)
    }

    private func pumpPrograms() {
        var idle = 0
        while link.queued < AgentServer.linkWindow, !channels.isEmpty, idle < order.count {
            lastServed = (lastServed + 1) % order.count
            guard let exec = execs[order[lastServed]], let channel = exec.attachment?.channel,
                let piece = exec.nextPiece()
            else {
                idle += 1
                continue
            }
            idle = 0
            switch piece {
            case .bytes(let output, let offset, let bytes):
                send(session.output(channel: channel, output, offset: offset, bytes))
            case .dropped(let output, let offset): send(session.dropped(channel: channel, output, to: offset))
            case .exit(let message):
                send(session.exit(channel: channel, message))
                channels[channel] = nil
            }
        }
    }

    // MARK: requests

    private func answer(_ number: UInt64, _ request: GuestRequest?) {
        var reply = GuestReply(number: number)
        do throws(CoveyError) {
            try carryOut(request, &reply)
        } catch {
            reply.error = error
        }
        send(session.reply(reply))
    }

    private func carryOut(_ request: GuestRequest?, _ reply: inout GuestReply) throws(CoveyError) {
        switch request {
        case nil: throw CoveyError(.unsupported, "the guest agent does not know this request")
        case .configure(let configuration): reply.configured = try configure(configuration)
        case .start(let request, let attachment):
            guard hello.configured else { throw CoveyError(.conflict, "the machine is not configured") }
            try start(request)
            if let attachment { reply.attached = try attach(request.id, attachment) }
        case .attach(let id, let attachment): reply.attached = try attach(id, attachment)
        case .execs: reply.execs = order.compactMap { execs[$0]?.information }
        case .acknowledge(let id): try acknowledge(id)
        case .signal(let id, let signal):
            let exec = try find(id)
            do throws(SystemError) { try exec.signal(signal) } catch { throw error.coveyError }
        case .resize(let id, let size): try find(id).resize(size)
        case .shutdown(let how, let grace):
            loop.post { self.shutDown(how, grace: .milliseconds(Int64(clamping: grace)), reason: "host") }
        case .setClock(let time): try duties.setClock(time)
        case .ping: break
        case .setNetwork(let network, let hostname):
            guard hello.configured else { throw CoveyError(.conflict, "the machine is not configured") }
            try duties.setNetwork(network, hostname: hostname)
            hello.hostname = hostname ?? hello.hostname
        case .listeningPorts: reply.ports = ListeningSockets.all()
        case .usage: reply.usage = try MachineUsage.read()
        case .stream(let request, let attachment):
            guard hello.configured else { throw CoveyError(.conflict, "the machine is not configured") }
            reply.attached = try streams.open(request, attachment, defaults)
        }
    }

    private func find(_ id: String) throws(CoveyError) -> Exec {
        guard let exec = execs[id] else { throw .notFound("exec", id) }
        return exec
    }

    private func configure(_ configuration: GuestConfiguration) throws(CoveyError) -> GuestConfigured {
        if let problem = hello.problem { throw problem }
        if hello.configured { return .already }
        defaults = ProgramDefaults(configuration, resetsOOMScore: try duties.configure(configuration))
        hello.configured = true
        hello.hostname = configuration.hostname
        loop.post { self.tell(.configured) }
        switch configuration.purpose {
        case .program(let program):
            let main = GuestExecRequest(
                id: mainExecID, program: program, terminalSize: configuration.terminalSize,
                overflow: configuration.overflow)
            try start(main)
        case .imageInit, .idle: break
        }
        loop.post { self.tell(.started) }
        readiness = Readiness(loop: loop) { [weak self] in self?.tell($0) }
        readiness?.begin(configuration.readiness, defaults, initSpeaks: duties.initSpeaks)
        return .done
    }

    /// The image's init has started all that it was to start.
    package func initIsReady() { readiness?.reached() }

    private func start(_ request: GuestExecRequest) throws(CoveyError) {
        guard !request.id.isEmpty, request.id.utf8.count <= 64 else {
            throw CoveyError(.invalid, "an exec's id has 1 to 64 characters")
        }
        if execs[request.id] != nil { return }
        guard goingDown == nil else { throw CoveyError(.unavailable, "the machine is going down", retryable: false) }
        guard execs.values.count(where: { $0.exit == nil }) < AgentServer.mostExecs else {
            throw CoveyError(
                .exhausted, "the machine runs \(AgentServer.mostExecs) programs for its host already",
                remedy: "end some of them (covey exec ls)")
        }
        let exec =
            try request.shell.map { shell throws(CoveyError) in try serve(shell, request) }
            ?? Exec(request, defaults, loop: loop)
        execs[request.id] = exec
        order.append(request.id)
        exec.onOutput = { [weak self] in self?.pump() }
        exec.onInputDrained = { [weak self, weak exec] in
            guard let self, let exec else { return }
            self.creditInput(exec)
        }
        exec.onEnd = { [weak self, weak exec] in
            guard let self, let exec else { return }
            self.ended(exec)
        }
        exec.begin()
    }

    /// An ssh server for one connection.
    private func serve(_ shell: GuestShell, _ request: GuestExecRequest) throws(CoveyError) -> Exec {
        guard execs.values.count(where: { $0.request.shell != nil && $0.exit == nil }) < ShellServer.most else {
            throw CoveyError(
                .exhausted, "the machine serves \(ShellServer.most) connections of ssh already",
                remedy: "end some of them, or let sessions share one (ControlMaster of ssh_config)")
        }
        let server = ShellServer(id: request.id, shell: shell, environment: defaults.environment)
        var prepared = request
        prepared.program = try server.prepare()
        // Of the image's environment nothing reaches sshd itself.
        return Exec(prepared, ProgramDefaults(resetsOOMScore: defaults.resetsOOMScore), loop: loop) { server.finish() }
    }

    private func attach(_ id: String, _ attachment: GuestAttachment) throws(CoveyError) -> GuestReply.Attached {
        let exec = try find(id)
        if let before = exec.attachment?.channel {
            channels[before] = nil
            let error = CoveyError(.conflict, "another client took over exec \(id)")
            send(session.channelClosed(channel: before, error))
        }
        var from: [GuestOutput: UInt64] = [:]
        var credit: [GuestOutput: UInt64] = [:]
        let window = min(UInt64(attachment.window), UInt64(OutputRing.capacity))
        for output in GuestOutput.allCases {
            let wanted = attachment.from[output] ?? exec.kept[output] ?? 0
            from[output] = min(wanted, exec.written[output] ?? 0)
            credit[output] = (from[output] ?? 0) + window
        }
        exec.attachment = Exec.Attachment(channel: attachment.channel, window: window, next: from, credit: credit)
        channels[attachment.channel] = id
        inputCredits[attachment.channel] = exec.inputCredit
        return GuestReply.Attached(from: from, inputTaken: exec.inputTaken, inputCredit: exec.inputCredit)
    }

    private func acknowledge(_ id: String) throws(CoveyError) {
        guard let exec = execs[id] else { return }
        guard exec.exit != nil else { throw CoveyError(.conflict, "exec \(id) still runs") }
        forget(id)
        if id == mainExecID { loop.post { self.mainTaken?() } }
    }

    private func forget(_ id: String) {
        guard let exec = execs.removeValue(forKey: id) else { return }
        if let channel = exec.attachment?.channel { channels[channel] = nil }
        exec.close()
        order.removeAll { $0 == id }
    }

    // MARK: programs

    private func creditInput(_ exec: Exec) {
        guard let channel = exec.attachment?.channel else { return }
        let credit = exec.inputCredit
        guard credit >= (inputCredits[channel] ?? 0) + Exec.inputWindow / 4 else { return }
        inputCredits[channel] = credit
        send(session.inputCredit(channel: channel, upTo: credit))
    }

    private func ended(_ exec: Exec) {
        guard let exit = exec.exit else { return }
        pump()
        tell(.execEnded(id: exec.request.id, exit))
        let ended = order.filter { execs[$0]?.exit != nil && $0 != mainExecID }
        if ended.count > AgentServer.mostEnded { forget(ended[0]) }
        if goingDown != nil {
            if !programsRun { programsEnded?() }
        } else if exec.request.id == mainExecID {
            mainTaken = { self.shutDown(.powerOff, grace: .seconds(2), reason: "program ended") }
            powerOffWhenIgnored(patience: 2)
        }
    }

    /// The machine's program has ended, and the machine powers off once a host has taken that in. One that is there and
    /// does not gets some seconds; while none is, the machine waits: the daemon that comes back is to learn the code.
    private func powerOffWhenIgnored(patience: Int) {
        loop.after(.seconds(3)) {
            guard self.goingDown == nil else { return }
            let patience = self.isHeard ? patience - 1 : 2
            if patience == 0 { self.mainTaken?() } else { self.powerOffWhenIgnored(patience: patience) }
        }
    }

    private var programsRun: Bool { execs.values.contains { $0.exit == nil } }

    /// Runs `body` once the host has acknowledged the main program's end, at most after `limit`.
    private func awaitMainTaken(_ limit: Duration, _ body: @escaping () -> Void) {
        guard execs[mainExecID]?.exit != nil else { return body() }
        mainTaken = once(after: limit, body)
    }

    /// A closure that runs `body` the first time it is called, or after `limit`.
    private func once(after limit: Duration, _ body: @escaping () -> Void) -> () -> Void {
        var done = false
        let once = {
            if done { return }
            done = true
            body()
        }
        loop.after(limit, once)
        return once
    }

    // MARK: going down

    /// Announces that the machine goes down, and does it.
    package func shutDown(_ how: GuestShutdown, grace: Duration, reason: String) {
        guard goingDown == nil else { return }
        goingDown = how
        readiness?.end()
        tell(how == .reboot ? .rebooting : .poweringOff(reason: reason))
        guard duties.beginShutdown(how) else {
            loop.after(grace) { self.finish(how) }
            return
        }
        programsEnded = once(after: grace) {
            self.awaitMainTaken(self.isHeard ? .seconds(2) : .zero) { self.finish(how) }
        }
        if !programsRun { programsEnded?() }
    }

    /// The machine goes down by itself: tells the host.
    package func announce(_ event: GuestEvent) {
        guard goingDown == nil else { return }
        goingDown = event == .rebooting ? .reboot : .powerOff
        tell(event)
        link.flush(limit: .milliseconds(200))
    }

    private func finish(_ how: GuestShutdown) {
        link.flush(limit: .seconds(1))
        duties.end(how)
    }

    /// Reaps a child that is one of the programs. Returns false where it is not.
    package func reapProgram(_ pid: Int32) -> Bool {
        guard let exec = execs.values.first(where: { $0.pid == pid }) else {
            return readiness?.reapProgram(pid) ?? false || streams.reap(pid)
        }
        exec.reap()
        return true
    }
}
