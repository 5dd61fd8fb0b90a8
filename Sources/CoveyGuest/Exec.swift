internal import CCovey
internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A program that runs or ran, with what it wrote and what it has yet to read. Lives on the agent's loop.
final class Exec {
    /// Who reads its output in the session.
    struct Attachment {
        var channel: UInt32
        var window: UInt64
        var next: [GuestOutput: UInt64]
        var credit: [GuestOutput: UInt64]
    }

    private struct Source {
        var descriptor: Int32
        var watched = false
    }

    /// Bytes of input that are held at most.
    static let inputWindow: UInt64 = 64 << 10

    let request: GuestExecRequest
    private let loop: EventLoop
    private var sources: [GuestOutput: Source] = [:]
    private var rings: [GuestOutput: OutputRing] = [.standardOutput: OutputRing(), .standardError: OutputRing()]
    private var acknowledged: [GuestOutput: UInt64] = [:]
    private var inputDescriptor: Int32?
    private var inputWatched = false
    private var inputQueue: [UInt8] = []
    private var inputSent = 0
    private var inputEnds = false
    private var processExit: GuestExit?
    private var pidfd: Int32?
    private var drainWaits = false

    /// Its process; nil where it never ran.
    private(set) var pid: Int32?
    /// How it ended, once its output is drained.
    private(set) var exit: GuestExit?
    /// Bytes of input that were taken.
    private(set) var inputTaken: UInt64 = 0
    /// Who is attached.
    var attachment: Attachment? { didSet { attachmentChanged() } }
    /// Called when there is more to send, and when it has ended.
    var onOutput: () -> Void = {}
    var onInputDrained: () -> Void = {}
    var onEnd: () -> Void = {}

    private let cleanUp: (() -> Void)?

    /// Starts a program, or records why it could not be. `cleanUp` is called when its process has ended.
    init(
        _ request: GuestExecRequest, _ defaults: ProgramDefaults, loop: EventLoop, cleanUp: (() -> Void)? = nil
    ) {
        self.request = request
        self.loop = loop
        self.cleanUp = cleanUp
        do throws(LaunchFailure) {
            let launched = try launch(request, defaults)
            pid = launched.pid
            pidfd = launched.pidfd
            sources[.standardOutput] = Source(descriptor: launched.output)
            if let error = launched.error { sources[.standardError] = Source(descriptor: error) }
            inputDescriptor = launched.input
        } catch {
            exit = error.exit
            cleanUp?()
        }
    }

    /// Begins to watch; after the callbacks are set.
    func begin() {
        if exit != nil { return loop.post { self.onEnd() } }
        if let pidfd {
            watch(pidfd, .readable) { [weak self] _ in self?.reap() }
        }
        resumeOutputs()
    }

    /// Bytes of each output so far.
    var written: [GuestOutput: UInt64] { rings.mapValues(\.end) }
    /// The oldest byte of each output that is kept.
    var kept: [GuestOutput: UInt64] { rings.mapValues(\.base) }
    /// Input may be sent up to this offset.
    var inputCredit: UInt64 { inputTaken - UInt64(inputQueue.count - inputSent) + Exec.inputWindow }

    /// What it is listed as.
    var information: GuestExecInfo {
        GuestExecInfo(
            id: request.id, pid: pid, exit: exit, written: written, kept: kept, inputTaken: inputTaken)
    }

    // MARK: output

    /// The bytes to send next, if there are any that the attached host may get.
    enum Piece {
        case bytes(GuestOutput, UInt64, ArraySlice<UInt8>)
        case dropped(GuestOutput, UInt64)
        case exit(GuestExitMessage)
    }

    /// Takes the next piece for who is attached.
    func nextPiece() -> Piece? {
        guard var attached = attachment else { return nil }
        for output in GuestOutput.allCases {
            guard let ring = rings[output], let next = attached.next[output] else { continue }
            if next < ring.base {
                attached.next[output] = ring.base
                attachment = attached
                return .dropped(output, ring.base)
            }
            let credit = attached.credit[output] ?? 0
            if next < ring.end, next < credit {
                let bytes = ring.bytes(from: next, limit: Int(min(32768, credit - next)))
                attached.next[output] = next + UInt64(bytes.count)
                attachment = attached
                return .bytes(output, next, bytes)
            }
        }
        guard let exit else { return nil }
        guard GuestOutput.allCases.allSatisfy({ attached.next[$0] == rings[$0]?.end }) else { return nil }
        attachment = nil
        return .exit(GuestExitMessage(exit: exit, written: written))
    }

    /// The host may get more.
    func credit(_ output: GuestOutput, upTo offset: UInt64) {
        guard let known = attachment?.credit[output], offset > known else { return }
        attachment?.credit[output] = offset
    }

    private func attachmentChanged() {
        guard let attachment else {
            hangUp()
            return resumeOutputs()
        }
        for (output, credit) in attachment.credit {
            acknowledged[output] = credit > attachment.window ? credit - attachment.window : 0
        }
        resumeOutputs()
    }

    private func room(_ output: GuestOutput) -> Int {
        let blocks =
            switch request.overflow {
            case .block: true
            case .dropOldest: false
            case .blockWhileAttached: attachment != nil
            }
        guard blocks else { return OutputRing.capacity }
        return rings[output]?.room(acknowledged: acknowledged[output] ?? 0) ?? 0
    }

    private func resumeOutputs() {
        if drainWaits {
            drainWaits = false
            awaitDrain()
        }
        for (output, source) in sources where !source.watched && room(output) > 0 {
            sources[output]?.watched = true
            watch(source.descriptor, .readable) { [weak self] _ in self?.readOutput(output) }
        }
    }

    private func readOutput(_ output: GuestOutput) {
        if readSomeOutput(output) { onOutput() }
        finishIfDone()
    }

    /// Reads once. Returns whether something came.
    private func readSomeOutput(_ output: GuestOutput) -> Bool {
        guard let source = sources[output] else { return false }
        let room = room(output)
        guard room > 0 else {
            pause(output)
            return false
        }
        do throws(SystemError) {
            guard let bytes = try readSome(source.descriptor, limit: min(room, 32768)) else { return false }
            if bytes.isEmpty {
                closeOutput(output)
                return false
            }
            rings[output]?.append(bytes)
            return true
        } catch {
            // The master of a terminal whose other side is closed answers EIO.
            closeOutput(output)
            return false
        }
    }

    private func pause(_ output: GuestOutput) {
        guard let source = sources[output], source.watched else { return }
        loop.remove(source.descriptor)
        sources[output]?.watched = false
    }

    private func closeOutput(_ output: GuestOutput) {
        guard let source = sources.removeValue(forKey: output) else { return }
        if request.program.terminal { closeInputDescriptor() }
        loop.remove(source.descriptor)
        close(source.descriptor)
    }

    // MARK: input

    /// Takes bytes that begin at an offset. Returns false where the host broke the flow control.
    func input(at offset: UInt64, _ bytes: [UInt8]) -> Bool {
        guard offset <= inputTaken, bytes.count <= Int(Exec.inputWindow), offset < 1 << 62 else { return false }
        let known = inputTaken - offset
        guard known < UInt64(bytes.count) else { return true }
        let fresh = bytes.dropFirst(Int(known))
        guard inputTaken + UInt64(fresh.count) <= inputCredit else { return false }
        inputTaken += UInt64(fresh.count)
        if inputDescriptor != nil && !inputEnds { inputQueue += fresh }
        writeInput()
        return true
    }

    /// No more input comes.
    func endInput() {
        guard !inputEnds else { return }
        inputEnds = true
        hangUp()
        if request.program.terminal && inputDescriptor != nil { inputQueue.append(4) }
        writeInput()
    }

    private func writeInput() {
        if let descriptor = inputDescriptor {
            do throws(SystemError) {
                while inputSent < inputQueue.count {
                    let put = try writeSome(descriptor, inputQueue[inputSent...])
                    if put == 0 { break }
                    inputSent += put
                }
            } catch {
                closeInputDescriptor()
            }
        }
        if inputSent == inputQueue.count || inputDescriptor == nil {
            inputQueue = []
            inputSent = 0
            if inputEnds && !request.program.terminal { closeInputDescriptor() }
        }
        watchInput(inputSent < inputQueue.count)
        onInputDrained()
    }

    private func watchInput(_ wanted: Bool) {
        guard let descriptor = inputDescriptor, wanted != inputWatched else { return }
        inputWatched = wanted
        if wanted {
            watch(descriptor, .writable) { [weak self] _ in self?.writeInput() }
        } else {
            loop.remove(descriptor)
        }
    }

    private func closeInputDescriptor() {
        guard let descriptor = inputDescriptor else { return }
        inputDescriptor = nil
        inputQueue = []
        inputSent = 0
        if inputWatched { loop.remove(descriptor) }
        inputWatched = false
        close(descriptor)
    }

    // MARK: control and end

    /// Sends a signal to the process group.
    func signal(_ number: Int32) throws(SystemError) {
        guard let pid, processExit == nil else { return }
        if kill(-pid, number) != 0 && errno != ESRCH { throw SystemError("kill", "exec \(request.id)") }
    }

    /// Ends an ssh server whose client has gone, and tells its sessions; what was put aside (nohup) goes on.
    private func hangUp() {
        guard request.shell != nil, let pid, processExit == nil else { return }
        for session in Descendants.now().sessions(of: pid) { _ = kill(session, SIGHUP) }
        // Its sessions' last words have some time; then it goes, whether it has noticed or not.
        loop.after(.seconds(2)) { [weak self] in
            guard let self, self.processExit == nil else { return }
            _ = kill(-pid, SIGKILL)
        }
    }

    /// Changes the terminal's size.
    func resize(_ size: GuestTerminalSize) {
        guard request.program.terminal, let source = sources[.standardOutput] else { return }
        _ = covey_resize_terminal(source.descriptor, size.rows, size.columns)
    }

    /// Takes the process's exit status, where it has ended.
    func reap() {
        guard let pid, processExit == nil else { return }
        var code: Int32 = 0
        var signal: Int32 = 0
        let reaped = covey_guest_reap(pid, &code, &signal)
        guard reaped != 0 else { return }
        processExit = reaped < 0 ? .exited(255) : signal != 0 ? .signalled(signal) : .exited(code)
        if let pidfd {
            loop.remove(pidfd)
            close(pidfd)
        }
        pidfd = nil
        cleanUp?()
        closeInputDescriptor()
        onInputDrained()
        for output in GuestOutput.allCases {
            var turns = 0
            while turns < 16, readSomeOutput(output) { turns += 1 }
        }
        onOutput()
        finishIfDone()
        if exit == nil { awaitDrain() }
    }

    private func finishIfDone() {
        guard exit == nil, let processExit, sources.isEmpty else { return }
        exit = processExit
        onEnd()
    }

    /// A grandchild may hold an output open for ever: what has come by then counts. An output that waits for its
    /// reader is not cut off.
    private func awaitDrain() {
        loop.after(.milliseconds(250)) { [weak self] in
            guard let self, self.exit == nil else { return }
            for (output, source) in self.sources where source.watched {
                if self.readSomeOutput(output) {
                    self.onOutput()
                    continue
                }
                if self.sources[output]?.watched == true { self.closeOutput(output) }
            }
            self.finishIfDone()
            guard self.exit == nil else { return }
            if self.sources.values.contains(where: \.watched) { self.awaitDrain() } else { self.drainWaits = true }
        }
    }

    /// Lets go of every descriptor.
    func close() {
        for output in GuestOutput.allCases { closeOutput(output) }
        closeInputDescriptor()
        if let pidfd {
            loop.remove(pidfd)
            Glibc.close(pidfd)
        }
        pidfd = nil
    }

    private func close(_ descriptor: Int32) { _ = Glibc.close(descriptor) }

    private func watch(
        _ descriptor: Int32, _ interest: EventLoop.Readiness, _ handler: @escaping (EventLoop.Readiness) -> Void
    ) {
        do throws(SystemError) {
            try loop.add(descriptor, interest, handler: handler)
        } catch {
            agentLog("exec \(request.id): \(error)")
        }
    }
}
