package import CoveyModel

/// What a machine is for, told once a boot.
package enum GuestPurpose: Hashable, Sendable {
    /// The agent stays PID 1 and runs this program as the exec ``mainExecID``; when it ends, the machine powers off.
    case program(Program)
    /// The agent goes aside and this program of the image, absolute, becomes PID 1.
    case imageInit(path: String)
    /// The agent stays PID 1 and only serves execs.
    case idle
}

/// What a machine waits for, before it is ready, beyond that its purpose has begun.
package enum GuestReadiness: Hashable, Sendable {
    /// The image's init says so, where it is one that does: systemd, once it has started all that it was to start.
    case initSystem
    /// A probe succeeds.
    case probe(Probe)
}

/// What a guest is told once a boot.
package struct GuestConfiguration: Hashable, Sendable {
    /// The host name; nil leaves the kernel's.
    package var hostname: String?
    /// The wall clock when the message is sent; nil leaves the guest's.
    package var clock: Timestamp?
    /// What the machine is for.
    package var purpose: GuestPurpose
    /// Environment of every program that the agent starts, over the image's.
    package var environment: [String: String]
    /// The image's environment, folder and user, which programs get where they name none.
    package var image: ImageConfiguration
    /// The first size of the machine's program's terminal, where it has one.
    package var terminalSize: GuestTerminalSize
    /// What happens when nobody takes the output of the machine's program.
    package var overflow: GuestOverflow
    /// Disks to be put into place before the machine's purpose begins; only for agents with ``GuestAbilities/mounts``.
    package var mounts: [GuestMount]
    /// Interfaces, resolver and hosts; nil leaves the machine with loopback and its own name. Only for agents with
    /// ``GuestAbilities/network``.
    package var network: GuestNetwork?
    /// Certificate authorities that the guest's programs trust beside the image's, each in PEM form; only for agents
    /// with ``GuestAbilities/certificates``.
    package var certificates: [String]
    /// What ``GuestEvent/ready`` waits for; nil is nothing, and it never comes. Only for agents with
    /// ``GuestAbilities/readiness``.
    package var readiness: GuestReadiness?

    /// Makes a configuration.
    package init(
        hostname: String? = nil, clock: Timestamp? = nil, purpose: GuestPurpose,
        environment: [String: String] = [:], image: ImageConfiguration = ImageConfiguration(),
        terminalSize: GuestTerminalSize = GuestTerminalSize(), overflow: GuestOverflow = .blockWhileAttached,
        mounts: [GuestMount] = [], network: GuestNetwork? = nil, certificates: [String] = [],
        readiness: GuestReadiness? = nil
    ) {
        self.hostname = hostname
        self.clock = clock
        self.purpose = purpose
        self.environment = environment
        self.image = image
        self.terminalSize = terminalSize
        self.overflow = overflow
        self.mounts = mounts
        self.network = network
        self.certificates = certificates
        self.readiness = readiness
    }
}

/// Whether a configuration was the first of its boot.
package enum GuestConfigured: UInt8, Sendable, CaseIterable {
    /// It was, and was carried out.
    case done = 1
    /// This boot was configured before; nothing was changed.
    case already = 2
}

/// How a machine is asked to go down.
package enum GuestShutdown: UInt8, Sendable, CaseIterable {
    /// The machine ends.
    case powerOff = 1
    /// The machine starts again.
    case reboot = 2
}
