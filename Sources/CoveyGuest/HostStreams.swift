internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem

/// The streams of an agent, by channel. Lives on the agent's loop.
final class HostStreams {
    /// Streams that may be open at once.
    static let most = 256

    private let loop: EventLoop
    private let program: String
    private var streams: [UInt32: HostStream] = [:]
    /// Those whose channel is gone and whose process is not.
    private var leaving: [HostStream] = []
    private var credits: [UInt32: UInt64] = [:]
    private var lastServed: UInt32 = 0

    /// Called when there is more to send.
    var onOutput: () -> Void = {}
    /// Called when a stream takes more input.
    var onCredit: (UInt32, UInt64) -> Void = { _, _ in }

    /// `program` is the agent's own file, which copies in a process of its own.
    init(loop: EventLoop, program: String) {
        self.loop = loop
        self.program = program
    }

    /// Opens one. Errors: ``ErrorCode/exhausted``.
    func open(
        _ request: GuestStreamRequest, _ attachment: GuestAttachment, _ defaults: ProgramDefaults
    ) throws(CoveyError) -> GuestReply.Attached {
        guard streams.count + leaving.count < HostStreams.most, streams[attachment.channel] == nil else {
            throw CoveyError(
                .exhausted, "the machine has \(HostStreams.most) connections to its host already",
                remedy: "end some of them")
        }
        let stream = HostStream(attachment, loop: loop)
        streams[stream.channel] = stream
        credits[stream.channel] = stream.inputCredit
        stream.onOutput = { [weak self] in self?.onOutput() }
        stream.onInputDrained = { [weak self, weak stream] in
            guard let self, let stream else { return }
            self.creditInput(stream)
        }
        stream.begin(request.purpose, program: program, defaults)
        return GuestReply.Attached(inputCredit: stream.inputCredit)
    }

    /// The stream of a channel.
    subscript(_ channel: UInt32) -> HostStream? { streams[channel] }

    private func creditInput(_ stream: HostStream) {
        guard streams[stream.channel] === stream, let known = credits[stream.channel] else { return }
        let credit = stream.inputCredit
        guard credit >= known + HostStream.inputWindow / 4 else { return }
        credits[stream.channel] = credit
        onCredit(stream.channel, credit)
    }

    /// Sends what there is, one frame of each in turn, while `takes` says so.
    func pump(_ session: GuestSideSession, while takes: () -> Bool, _ send: ([UInt8]) -> Void) {
        var isIdle = streams.isEmpty || !session.isOpen
        while !isIdle {
            isIdle = true
            let order = streams.keys.sorted()
            let first = order.firstIndex { $0 > lastServed } ?? 0
            for channel in order[first...] + order[..<first] {
                guard takes() else { return }
                guard let stream = streams[channel], let frame = stream.nextFrame(session) else { continue }
                isIdle = false
                lastServed = channel
                send(frame)
                if stream.isOver { drop(channel) }
            }
        }
    }

    /// Ends a stream; one that is not there is no error.
    func drop(_ channel: UInt32) {
        guard let stream = streams.removeValue(forKey: channel) else { return }
        credits[channel] = nil
        leaving.append(stream)
        stream.onOutput = {}
        stream.onInputDrained = {}
        stream.onGone = { [weak self, weak stream] in self?.leaving.removeAll { $0 === stream } }
        stream.abandon()
    }

    /// Ends all of them.
    func dropAll() { for channel in streams.keys.sorted() { drop(channel) } }

    /// Reaps a child that is a stream's. Returns false where it is not.
    func reap(_ pid: Int32) -> Bool {
        guard let stream = (streams.values + leaving).first(where: { $0.pid == pid }) else { return false }
        stream.reap()
        return true
    }
}
