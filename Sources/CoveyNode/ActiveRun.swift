internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveyVMM

/// What a worker holds of a run that it launched or adopted.
struct ActiveRun {
    /// The run.
    let generation: Int64
    /// The VMM.
    let vmm: any RunningVMM
    /// Carries the VMM's events to the mailbox; ends with the VMM.
    let events: Task<Void, Never>
    /// Keeps a session with the guest agent.
    let link: Task<Void, Never>
    /// The session, while there is one.
    var session: (any GuestSession)?
    /// The host name that the guest of this session has or is being told; empty where the agent does not say, nil
    /// before it is configured.
    var guestName: String?
    /// Tells the guest another name.
    var telling: Task<Void, Never>?
    /// Records execs by id.
    var recorders: [String: Task<Void, Never>] = [:]
    /// Gives an agent that has ended a while to come back.
    var guestAlarm: Task<Void, Never>?
    /// Whether the CPUs are stopped.
    var paused = false
    /// Set while a stop is under way.
    var stopping: Stopping?
    /// What the guest said that it is about to do.
    var announced: RunEnd?
    /// Whether the guest said that it goes down in order, without saying how.
    var orderly = false
    /// What the VMM said of the guest.
    var seen: RunEnd?
    /// The exit code of the machine's program.
    var programExit: Int32?
    /// Why the guest could not be made what it is for.
    var refused: CoveyError?
    /// Whether what the machine is for has begun: programs can be run in it.
    var serving = false
    /// Whether the machine is what ``MachineSpec/ready`` asks.
    var ready = false
    /// What the guest is asked to find out before it is; nil is nothing.
    var awaits: GuestReadiness?
    /// Why it is not, as far as the guest has said.
    var problem: String?
    /// When what it is for began, on the measuring clock.
    var servingAt: Duration?
    /// When the CPUs were let go, on the measuring clock; nil where the run was adopted.
    var resumedAt: Duration?
    /// When the agent answered.
    var answeredAt: Duration?
    /// How long the agent took from its first instruction to the mounted root.
    var agentTook: Duration?

    /// A stop that is under way.
    struct Stopping {
        /// When it is forced.
        var deadline: Duration
        /// Whether the VMM was killed already.
        var forced: Bool
    }

    /// Whether guest, VMM or user said that it ends.
    var isGoingDown: Bool { announced != nil || orderly || seen != nil || stopping != nil || programExit != nil }

    /// What became of the run, once its VMM is gone.
    func end(_ exit: ProcessExit?) -> RunEnd {
        if stopping != nil { return .stopped }
        if let announced, announced == .rebooted { return .rebooted }
        if programExit != nil { return .programExited }
        if let seen { return seen == .crashed && orderly ? .rebooted : seen }
        if announced == .poweredOff || exit == .exited(0) { return .poweredOff }
        return .vmmDied
    }

    /// Lets go of everything but the VMM.
    func release() async {
        link.cancel()
        events.cancel()
        guestAlarm?.cancel()
        telling?.cancel()
        for recorder in recorders.values { recorder.cancel() }
        await session?.close()
        await link.value
        await events.value
        await telling?.value
        for recorder in recorders.values { await recorder.value }
    }
}

/// What a worker is told.
enum WorkerLetter: Hashable, Sendable {
    /// Look at what is wanted.
    case look
    /// An operation on this machine is new or was taken back.
    case operation(Operation)
    /// The VMM of a run said something.
    case vmm(Int64, VMMEvent)
    /// The guest agent of a run was reached; the session waits in ``SessionBox``.
    case connected(Int64)
    /// The guest agent of a run said something.
    case guest(Int64, GuestEvent)
    /// The guest agent of a run has ended, and none has come back in time.
    case guestLost(Int64)
    /// The program of an exec has ended, and its end is recorded.
    case recorded(Int64, String, Int32)
}
