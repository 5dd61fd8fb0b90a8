package import CoveyModel

/// What a host asks of a guest.
package enum GuestRequest: Hashable, Sendable {
    /// Configure this boot.
    case configure(GuestConfiguration)
    /// Start a program, and attach to it where wished.
    case start(GuestExecRequest, attach: GuestAttachment?)
    /// Attach to a program.
    case attach(id: String, GuestAttachment)
    /// List the programs.
    case execs
    /// Forget a program that has ended.
    case acknowledge(id: String)
    /// Signal a program.
    case signal(id: String, Int32)
    /// Change a terminal's size.
    case resize(id: String, GuestTerminalSize)
    /// Go down.
    case shutdown(GuestShutdown, graceMilliseconds: UInt64)
    /// Set the clock.
    case setClock(Timestamp)
    /// Answer.
    case ping
    /// Change the network, and the host name where one is given.
    case setNetwork(GuestNetwork, hostname: String?)
    /// Say what listens.
    case listeningPorts
    /// Say what is used.
    case usage
    /// Open a stream, which lives as long as its channel.
    case stream(GuestStreamRequest, attach: GuestAttachment)
}

/// How a host attaches to a program.
package struct GuestAttachment: Hashable, Sendable {
    /// The channel that the host chose: higher than any before in the session.
    package var channel: UInt32
    /// Bytes of each output that may be under way.
    package var window: UInt32
    /// The next wanted byte of each output; none is the oldest that is kept.
    package var from: [GuestOutput: UInt64]

    /// Makes an attachment.
    package init(channel: UInt32, window: UInt32, from: [GuestOutput: UInt64] = [:]) {
        self.channel = channel
        self.window = window
        self.from = from
    }
}

/// What a guest answers to a request.
package struct GuestReply: Hashable, Sendable {
    /// Where output begins and input goes on.
    package struct Attached: Hashable, Sendable {
        /// The offset of the first byte that will come of each output.
        package var from: [GuestOutput: UInt64]
        /// Bytes of input that were taken.
        package var inputTaken: UInt64
        /// Input may be sent up to this offset.
        package var inputCredit: UInt64

        /// Makes an answer.
        package init(from: [GuestOutput: UInt64] = [:], inputTaken: UInt64 = 0, inputCredit: UInt64 = 0) {
            self.from = from
            self.inputTaken = inputTaken
            self.inputCredit = inputCredit
        }
    }

    /// The request's number.
    package var number: UInt64
    /// Why it failed; nil where it did not.
    package var error: CoveyError?
    /// The answer to `configure`.
    package var configured: GuestConfigured?
    /// The answer to `execs`.
    package var execs: [GuestExecInfo]
    /// The answer to `attach`, or to `start` with an attachment.
    package var attached: Attached?
    /// The answer to `listeningPorts`.
    package var ports: [ListeningPort]
    /// The answer to `usage`.
    package var usage: GuestUsage?

    /// Makes a reply.
    package init(
        number: UInt64, error: CoveyError? = nil, configured: GuestConfigured? = nil, execs: [GuestExecInfo] = [],
        attached: Attached? = nil, ports: [ListeningPort] = [], usage: GuestUsage? = nil
    ) {
        self.number = number
        self.error = error
        self.configured = configured
        self.execs = execs
        self.attached = attached
        self.ports = ports
        self.usage = usage
    }
}
