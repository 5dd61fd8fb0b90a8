package import CoveyModel

/// What a guest agent can do; the host asks before it uses one.
package struct GuestAbilities: OptionSet, Hashable, Sendable {
    /// The bits on the wire.
    package let rawValue: UInt64
    /// Abilities from the bits on the wire; unknown ones are kept.
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    /// Runs programs, with output that is resumed by offset.
    package static let exec = GuestAbilities(rawValue: 1 << 0)
    /// Gives programs a terminal.
    package static let terminal = GuestAbilities(rawValue: 1 << 1)
    /// Sets the guest's clock.
    package static let clock = GuestAbilities(rawValue: 1 << 2)
    /// Powers off and reboots in order.
    package static let shutdown = GuestAbilities(rawValue: 1 << 3)
    /// Execs the image's own init as PID 1.
    package static let imageInit = GuestAbilities(rawValue: 1 << 4)
    /// Mounts disks where it is told to.
    package static let mounts = GuestAbilities(rawValue: 1 << 8)
    /// Sets interfaces, resolver and hosts, also while the machine runs.
    package static let network = GuestAbilities(rawValue: 1 << 9)
    /// Says what listens in the guest, and what the guest uses.
    package static let figures = GuestAbilities(rawValue: 1 << 10)
    /// Lets the guest's programs trust further certificates.
    package static let certificates = GuestAbilities(rawValue: 1 << 11)
    /// Says when the machine is ready, by its init or a probe.
    package static let readiness = GuestAbilities(rawValue: 1 << 12)
    /// Packs and unpacks files for its host.
    package static let copy = GuestAbilities(rawValue: 1 << 22)
    /// Connects its host to sockets of the machine.
    package static let dial = GuestAbilities(rawValue: 1 << 23)
    /// Serves ssh by the tools disk's server, a connection at a time.
    package static let shell = GuestAbilities(rawValue: 1 << 32)
}

/// When the stages of a guest's boot were reached, on the guest's clock since its kernel started.
package struct GuestBootTimings: Hashable, Sendable {
    /// The agent's first instruction; nil where it is not the machine's agent.
    package var agentStarted: Duration?
    /// The modules of the initramfs are loaded.
    package var modulesLoaded: Duration?
    /// The root file system is mounted; nil where it could not be.
    package var rootMounted: Duration?

    /// Makes timings.
    package init(agentStarted: Duration? = nil, modulesLoaded: Duration? = nil, rootMounted: Duration? = nil) {
        self.agentStarted = agentStarted
        self.modulesLoaded = modulesLoaded
        self.rootMounted = rootMounted
    }
}

/// What a guest agent says of itself when a session opens.
package struct GuestHello: Hashable, Sendable {
    /// The protocol that the session speaks.
    package var protocolVersion: UInt32
    /// What the agent can do.
    package var abilities: GuestAbilities
    /// The agent's version.
    package var agentVersion: String
    /// Made at random by each boot of the guest: another value is another boot.
    package var bootID: String
    /// What `uname -r` prints in the guest; empty where not known.
    package var kernelRelease: String
    /// When the stages of the boot were reached.
    package var timings: GuestBootTimings
    /// Whether this boot was configured already.
    package var configured: Bool
    /// What kept the agent from preparing the machine (no root disk); such a guest cannot be configured, only shut down.
    package var problem: CoveyError?
    /// The host name that the machine was told last; nil before, and where the agent does not say so.
    package var hostname: String?
    /// Whether what ``GuestConfiguration/readiness`` asks has come about; false also where it asks nothing.
    package var ready: Bool

    /// Makes a hello.
    package init(
        protocolVersion: UInt32 = guestProtocolVersion, abilities: GuestAbilities, agentVersion: String,
        bootID: String, kernelRelease: String = "", timings: GuestBootTimings = GuestBootTimings(),
        configured: Bool = false, problem: CoveyError? = nil, hostname: String? = nil, ready: Bool = false
    ) {
        self.protocolVersion = protocolVersion
        self.abilities = abilities
        self.agentVersion = agentVersion
        self.bootID = bootID
        self.kernelRelease = kernelRelease
        self.timings = timings
        self.configured = configured
        self.problem = problem
        self.hostname = hostname
        self.ready = ready
    }
}

/// The protocol version that this program speaks.
package let guestProtocolVersion: UInt32 = 1
