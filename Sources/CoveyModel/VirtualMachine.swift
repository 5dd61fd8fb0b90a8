/// A machine: what is wanted of it and what was seen.
package struct VirtualMachine: Hashable, Codable, Sendable {
    /// Id, name, tenant, labels.
    package var metadata: Metadata<VirtualMachine>
    /// What is wanted.
    package var spec: MachineSpec
    /// What was seen.
    package var status: MachineStatus

    /// Puts the parts together.
    package init(metadata: Metadata<VirtualMachine>, spec: MachineSpec, status: MachineStatus) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// The state that a user wants a machine in.
package enum WantedState: String, Codable, Sendable, CaseIterable { case running, stopped, paused }

/// Which accelerator a machine uses.
package enum Accelerator: String, Codable, Sendable, CaseIterable {
    /// KVM where it works, else TCG.
    case auto
    /// Hardware virtualisation.
    case kvm
    /// Emulation.
    case tcg
}

/// Which VMM runs a machine.
package enum DriverName: String, Codable, Sendable, CaseIterable {
    case qemu
    case firecracker
    case cloudHypervisor = "cloud-hypervisor"
}

/// What happens when a machine ends without having been asked to.
package enum RestartPolicy: Hashable, Sendable, CustomStringConvertible {
    case never
    /// After a crash, at most so often in a row; nil is without end.
    case onFailure(limit: Int?)
    case always

    /// Reads `never`, `on-failure`, `on-failure:3`, `always`. Nil for anything else.
    package init?(_ text: String) {
        switch text {
        case "never": self = .never
        case "always": self = .always
        case "on-failure": self = .onFailure(limit: nil)
        case _ where text.hasPrefix("on-failure:"):
            guard let limit = Int(text.dropFirst("on-failure:".count)), limit >= 0 else { return nil }
            self = .onFailure(limit: limit)
        case _: return nil
        }
    }

    /// The text that ``init(_:)`` reads.
    package var description: String {
        switch self {
        case .never: "never"
        case .onFailure(nil): "on-failure"
        case .onFailure(let limit?): "on-failure:\(limit)"
        case .always: "always"
        }
    }
}

extension RestartPolicy: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = RestartPolicy(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text) is no restart policy")
        }
        self = value
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// A program to run in a guest.
package struct Program: Hashable, Codable, Sendable {
    /// The program and its arguments; the program is looked up in `PATH` where it has no slash.
    package var arguments: [String]
    /// Additional environment.
    package var environment: [String: String]
    /// The folder it starts in; nil is the image's, else `/`.
    package var workingDirectory: String?
    /// `name`, `uid`, `name:group` or `uid:gid`; nil is the image's, else root.
    package var user: String?
    /// Whether it gets a terminal.
    package var terminal: Bool
    /// Whether its standard input stays open for a client.
    package var standardInput: Bool

    /// Makes a program.
    package init(
        arguments: [String], environment: [String: String] = [:], workingDirectory: String? = nil,
        user: String? = nil, terminal: Bool = false, standardInput: Bool = false
    ) {
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
        self.terminal = terminal
        self.standardInput = standardInput
    }
}

/// When a machine counts as ready.
package enum ReadyCheck: String, Codable, Sendable {
    /// The VMM let its CPUs go.
    case booted
    /// The guest agent answered.
    case agent
    /// What the image runs is up: its entrypoint runs, its systemd has started all that it was to start.
    case image
    /// ``MachineSpec/readyProbe`` succeeded.
    case probe
}

/// What is wanted of a machine.
package struct MachineSpec: Hashable, Codable, Sendable {
    /// The wanted state.
    package var wanted: WantedState
    /// The image's name as the user wrote it.
    package var image: String
    /// The image that the name meant when the machine was made.
    package var imageID: ImageID?
    /// The kernel's name; nil is the default when the machine was made.
    package var kernel: String?
    /// The kernel that was chosen.
    package var kernelID: KernelID?
    /// Virtual CPUs.
    package var cpus: Int
    /// Memory.
    package var memory: ByteCount
    /// Size of the root disk; nil is the image's.
    package var disk: ByteCount?
    /// Volumes, in the order in which the machine sees them.
    @EmptyWhenAbsent package var volumes: [VolumeMount]
    /// A disk of its own for passing work; nil is none.
    package var scratch: ScratchDisk?
    /// Interfaces, in the order in which the machine sees them; empty is no network.
    @EmptyWhenAbsent package var networks: [NetworkAttachment]
    /// Ports of the host that lead to the first interface.
    @EmptyWhenAbsent package var ports: [PublishedPort]
    /// What it reaches outside; nil is what its networks say.
    package var egress: EgressPolicy?
    /// What each interface may send, and as much receive, in a second; nil is without bound.
    package var networkLimit: TrafficLimit?
    /// What each disk may read and write in a second; nil is without bound.
    package var diskLimit: TrafficLimit?
    /// The VMM; nil is the node's default.
    package var driver: DriverName?
    /// The accelerator.
    package var accel: Accelerator
    /// What happens after a crash.
    package var restart: RestartPolicy
    /// The program that is the machine's purpose; the machine stops when it ends. Nil boots the image's own init,
    /// or its entrypoint where it has none.
    package var program: Program?
    /// Environment for every program that the agent starts.
    package var environment: [String: String]
    /// Whether the daemon deletes it when it has stopped.
    package var removeWhenStopped: Bool
    /// When it counts as ready.
    package var ready: ReadyCheck
    /// The probe, where ``ready`` is ``ReadyCheck/probe``.
    package var readyProbe: Probe?
    /// How long a stop may take before it is forced, in milliseconds.
    package var stopTimeoutMilliseconds: Int64
    /// Whether a stop does not ask the guest first.
    package var forceStop: Bool
    /// Raised by each `start`: a run is wanted where there is none.
    package var startRequest: Int64
    /// Raised by each `restart`: a new run is wanted even though the machine runs.
    package var restartRequest: Int64
    /// Whether the machine is to be deleted.
    package var deleting: Bool

    /// Makes a spec with the defaults of `covey vm create`.
    package init(
        image: String, wanted: WantedState = .running, cpus: Int = 1, memory: ByteCount = .mebibytes(256),
        disk: ByteCount? = nil, kernel: String? = nil, driver: DriverName? = nil, accel: Accelerator = .auto,
        restart: RestartPolicy = .never, program: Program? = nil, environment: [String: String] = [:],
        removeWhenStopped: Bool = false, ready: ReadyCheck = .image, stopTimeout: Duration = .seconds(10)
    ) {
        self.wanted = wanted
        self.image = image
        self.cpus = cpus
        self.memory = memory
        self.disk = disk
        _volumes = EmptyWhenAbsent(wrappedValue: [])
        _networks = EmptyWhenAbsent(wrappedValue: [])
        _ports = EmptyWhenAbsent(wrappedValue: [])
        self.kernel = kernel
        self.driver = driver
        self.accel = accel
        self.restart = restart
        self.program = program
        self.environment = environment
        self.removeWhenStopped = removeWhenStopped
        self.ready = ready
        stopTimeoutMilliseconds = stopTimeout.wholeMilliseconds
        forceStop = false
        startRequest = wanted == .running ? 1 : 0
        restartRequest = 0
        deleting = false
    }

    /// How long a stop may take before it is forced.
    package var stopTimeout: Duration { .milliseconds(stopTimeoutMilliseconds) }
}

/// One stage of a start and how long it took.
package struct TimelineStage: Hashable, Codable, Sendable {
    /// `image`, `disk`, `network` where it has one, `vmm`, `kernel`, `agent`, `init` or `probe` where that says when it
    /// is ready, `ready`.
    package var stage: String
    /// Whole milliseconds.
    package var milliseconds: Int64

    /// Makes a stage.
    package init(stage: String, milliseconds: Int64) {
        self.stage = stage
        self.milliseconds = milliseconds
    }
}

/// How a run ended.
package enum RunEnd: String, Codable, Sendable, CaseIterable {
    /// The machine's program ended.
    case programExited
    /// Somebody asked Covey to stop it.
    case stopped
    /// The guest powered itself off.
    case poweredOff
    /// The guest announced a reboot.
    case rebooted
    /// A reset that nobody announced, or a kernel panic.
    case crashed
    /// The VMM ended or was killed.
    case vmmDied
    /// It never came to run.
    case startFailed
}

/// What was seen of a machine.
package struct MachineStatus: Hashable, Codable, Sendable {
    /// Where it is in its life.
    package var phase: MachinePhase
    /// The node that it is bound to.
    package var node: NodeID?
    /// The VMM that runs it.
    package var driver: DriverName?
    /// The accelerator in use.
    package var accel: Accelerator?
    /// The VMM's pid while it runs.
    package var pid: Int32?
    /// Raised and stored before each start; part of the name of every host object of that run.
    package var runGeneration: Int64
    /// The spec's generation that was acted on.
    package var observedGeneration: Int64
    /// The ``MachineSpec/startRequest`` that was acted on.
    package var observedStart: Int64
    /// The ``MachineSpec/restartRequest`` that was acted on.
    package var observedRestart: Int64
    /// The volumes that the current or last run began with.
    @EmptyWhenAbsent package var volumes: [VolumeID]
    /// Addresses, once it has networks.
    package var addresses: [String]
    /// Published ports, once it has networks.
    package var ports: [String]
    /// What is to be said of it.
    package var conditions: [Condition]
    /// How long the stages of the last start took.
    package var timeline: [TimelineStage]
    /// Restarts by policy since the user's last start.
    package var restarts: Int
    /// The exit code of the machine's program.
    package var exitCode: Int32?
    /// How the last run ended.
    package var lastEnd: RunEnd?
    /// What went wrong last.
    package var lastError: CoveyError?
    /// When the current run was started.
    package var startedAt: Timestamp?
    /// When the last run ended.
    package var endedAt: Timestamp?
    /// The public half of the machine's host key, as `known_hosts` holds it; nil before its first start.
    package var sshHostKey: String?

    /// The status of a machine that was just made.
    package init(phase: MachinePhase = .pending) {
        self.phase = phase
        runGeneration = 0
        observedGeneration = 0
        observedStart = 0
        observedRestart = 0
        _volumes = EmptyWhenAbsent(wrappedValue: [])
        addresses = []
        ports = []
        conditions = []
        timeline = []
        restarts = 0
    }
}
