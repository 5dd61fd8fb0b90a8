package import CoveyModel

/// What a guest tells by itself.
package enum GuestEvent: Hashable, Sendable {
    /// The configuration was carried out.
    case configured
    /// The machine's program or the image's init runs, or the machine is idle by wish: it is ready.
    case started
    /// What the configuration's ``GuestConfiguration/readiness`` asks has come about.
    case ready
    /// Why it has not, where that is new.
    case notReady(String)
    /// A program has ended; it is kept until it is acknowledged.
    case execEnded(id: String, GuestExit)
    /// The guest is about to reboot.
    case rebooting
    /// The guest is about to power off; the reason is for people (`program ended`, `host`, `guest`).
    case poweringOff(reason: String)
    /// The guest is going down in order; whether it powers off or reboots, the VMM tells.
    case goingDown
    /// The session is over: nil after ``GuestSession/close()``, else why. Last.
    case ended(CoveyError?)
}

/// Reaches guest agents.
package protocol GuestConnector: Sendable {
    /// Opens a session over the Unix socket of a machine's channel, and waits for the guest's hello, for as long as it
    /// boots, at most `deadline`. Only one session at a time is served by a channel.
    ///
    /// Errors: ``ErrorCode/unavailable`` where nobody listens on the socket or it closes, ``ErrorCode/deadline``,
    /// ``ErrorCode/unsupported`` for a guest that speaks no common protocol version.
    func connect(to socket: String, deadline: Duration) async throws -> any GuestSession
}

/// A session with a guest agent.
///
/// Every request ends within the session's request deadline (``ErrorCode/deadline``). What a guest breaks ends the
/// session with ``ErrorCode/corrupt``; a channel that closes ends it with ``ErrorCode/unavailable``. Programs in the
/// guest go on, and a new session attaches to them again.
package protocol GuestSession: Sendable {
    /// What the guest said of itself.
    var hello: GuestHello { get }

    /// What the guest tells from now on; for one reader. Ends after ``GuestEvent/ended(_:)``. What happened before the
    /// session opened is in ``hello`` and ``execs()``.
    var events: AsyncStream<GuestEvent> { get }

    /// Configures this boot; a repeat changes nothing. Errors: what ``GuestHello/problem`` says.
    @discardableResult
    func configure(_ configuration: GuestConfiguration) async throws -> GuestConfigured

    /// Starts a program; a repeat with the same id is no error and starts nothing. A program that cannot be run is no
    /// error here either: it has ended with ``GuestExit/notStarted(code:message:)``.
    /// Errors: ``ErrorCode/exhausted`` where 256 programs run, ``ErrorCode/conflict`` before ``configure(_:)``.
    func start(_ request: GuestExecRequest) async throws

    /// Starts a program (or finds it, where it was started before) and attaches to it, in one round trip.
    func run(_ request: GuestExecRequest, acknowledgement: GuestAcknowledgement) async throws -> any GuestExecStream

    /// Attaches to a program, and takes it over from whoever was attached before.
    ///
    /// `from` names the next wanted byte of each output; an output without an entry starts at the oldest byte that is
    /// kept. Errors: ``ErrorCode/notFound``.
    func attach(
        _ id: String, from: [GuestOutput: UInt64], acknowledgement: GuestAcknowledgement
    ) async throws -> any GuestExecStream

    /// The programs that run, and those that have ended and were not acknowledged.
    func execs() async throws -> [GuestExecInfo]

    /// Forgets a program that has ended, with its output; idempotent. The guest keeps the newest 64 that nobody
    /// acknowledges. After the acknowledgement of ``mainExecID`` the machine powers off at once; without one, some
    /// seconds after its end if a host is there, and not before one is.
    /// Errors: ``ErrorCode/conflict`` while it runs.
    func acknowledge(_ id: String) async throws

    /// Sends a signal to a program's process group, without attaching. Errors: ``ErrorCode/notFound``.
    func signal(_ id: String, _ number: Int32) async throws

    /// Asks the machine to go down in order, and forces it after `grace`. Returns when the guest has begun.
    func shutdown(_ how: GuestShutdown, grace: Duration) async throws

    /// Sets the guest's wall clock.
    func setClock(_ time: Timestamp) async throws

    /// Returns when the guest has answered.
    func ping() async throws

    /// Changes interfaces, resolver and hosts of a machine that was configured, and its host name where one is given.
    /// What an earlier network set and this one lacks is taken away. Errors: ``ErrorCode/conflict`` before
    /// ``configure(_:)``, ``ErrorCode/notFound`` where the machine has no such interface.
    func setNetwork(_ network: GuestNetwork, hostname: String?) async throws

    /// What programs in the guest listen on, by port; at most ``ListeningPort/mostInGuest``.
    func listeningPorts() async throws -> [ListeningPort]

    /// What the guest uses of what it has.
    func usage() async throws -> GuestUsage

    /// Opens a stream; it ends with ``GuestExecStream/detach()`` or with the session, and so does what is at its other
    /// end. Errors: ``ErrorCode/conflict`` before ``configure(_:)``, ``ErrorCode/exhausted`` where 256 are open.
    func stream(_ request: GuestStreamRequest) async throws -> any GuestExecStream

    /// Ends the session; what runs in the guest goes on. Idempotent.
    func close() async
}

/// When the guest may let go of output that was delivered.
package enum GuestAcknowledgement: Sendable {
    /// When ``GuestExecStream/next()`` has returned it and is called again.
    case automatic
    /// When ``GuestExecStream/acknowledge(_:through:)`` says so: for who must be able to resume at an offset that lies
    /// further back, because a client has not confirmed it yet. At most 256 KiB of each output stay unacknowledged;
    /// then nothing more comes.
    case manual
}

extension GuestSession {
    /// Starts a program and attaches to it, with automatic acknowledgement.
    package func run(_ request: GuestExecRequest) async throws -> any GuestExecStream {
        try await run(request, acknowledgement: .automatic)
    }

    /// Attaches to a program with automatic acknowledgement.
    package func attach(_ id: String, from: [GuestOutput: UInt64] = [:]) async throws -> any GuestExecStream {
        try await attach(id, from: from, acknowledgement: .automatic)
    }
}

/// A program in a guest that the host is attached to.
///
/// One task reads, any number write. Flow control reaches from the caller to the program in both directions.
package protocol GuestExecStream: Sendable {
    /// The program's id.
    var id: String { get }

    /// Bytes of standard input that the guest had taken when this stream was opened: a caller that resumes goes on
    /// with this byte.
    var inputTaken: UInt64 { get }

    /// The next of the program's output; nil after ``GuestExecOutput/ended(_:)``.
    /// Errors: how the session ended; ``ErrorCode/conflict`` when another took the program over.
    func next() async throws -> GuestExecOutput?

    /// Lets the guest forget an output up to this offset; only with ``GuestAcknowledgement/manual``.
    func acknowledge(_ output: GuestOutput, through offset: UInt64) async throws

    /// Writes to standard input, and waits while the program does not read. What a program that has closed its input
    /// (or has ended) does not take is dropped.
    func write(_ bytes: [UInt8]) async throws

    /// Ends standard input; with a terminal, sends its end-of-file character. Idempotent.
    func closeInput() async throws

    /// Changes the terminal's size.
    func resize(_ size: GuestTerminalSize) async throws

    /// Sends a signal to the program's process group.
    func signal(_ number: Int32) async throws

    /// Lets the program go on without this stream. Idempotent.
    func detach() async
}
