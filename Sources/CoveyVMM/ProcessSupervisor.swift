package import CoveyModel
package import CoveySystem

/// How a process ended.
package enum ProcessExit: Hashable, Codable, Sendable {
    /// By itself, with a status.
    case exited(Int32)
    /// By a signal.
    case signalled(Int32)
}

/// A descriptor that a process is started with.
package struct PassedDescriptor: Sendable {
    /// Keeps the descriptor open until the process has it.
    package let source: SharedDescriptor
    /// The number that the process sees.
    package let number: Int32

    /// Passes a descriptor under a number (3 or more; 0 to 2 where the defaults are not wanted).
    package init(_ source: SharedDescriptor, as number: Int32) {
        self.source = source
        self.number = number
    }
}

/// A descriptor with several owners; closed with the last one.
package final class SharedDescriptor: Sendable {
    private let descriptor: FileDescriptor

    /// Shares a descriptor.
    package init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// The number, valid as long as this object lives.
    package var raw: Int32 { descriptor.raw }
}

/// Where the bytes go that a process writes to its console.
package struct ConsoleLog: Hashable, Codable, Sendable {
    /// The number under which the process sees a pipe's writing end.
    package var number: Int32
    /// The log file; the older part is at `path.1`.
    package var path: String
    /// The most that both take.
    package var limit: ByteCount

    /// Makes a console log.
    package init(number: Int32, path: String, limit: ByteCount) {
        self.number = number
        self.path = path
        self.limit = limit
    }
}

/// What a process may use. Nil is without limit.
package struct ResourceLimits: Hashable, Codable, Sendable {
    /// Memory of the control group.
    package var memory: ByteCount?
    /// Processes and threads of the control group.
    package var tasks: Int?
    /// CPUs' worth of time.
    package var cpus: Double?
    /// Open files.
    package var openFiles: Int?

    /// Makes limits.
    package init(memory: ByteCount? = nil, tasks: Int? = nil, cpus: Double? = nil, openFiles: Int? = nil) {
        self.memory = memory
        self.tasks = tasks
        self.cpus = cpus
        self.openFiles = openFiles
    }
}

/// A process to start: unprivileged, in a control group of its own, with just the descriptors it is given.
package struct SpawnRequest: Sendable {
    /// Unique among the instance's processes: letters, digits, `-`, at most 100; names the control group.
    package var name: String
    /// The program, absolute, and its arguments.
    package var arguments: [String]
    /// The whole environment.
    package var environment: [String: String]
    /// The folder it starts in.
    package var workingDirectory: String
    /// uid and gid; no capability is left, no privilege can be gained.
    package var user: UInt32
    /// Supplementary groups, such as the one that may open `/dev/kvm`; none by default.
    package var groups: [UInt32]
    /// The descriptors; standard input, output and error are `/dev/null` where not among them.
    package var descriptors: [PassedDescriptor]
    /// Where its console goes.
    package var console: ConsoleLog?
    /// Where standard error goes instead of `/dev/null`: a file that is cut at 64 KiB.
    package var errorLog: String?
    /// Whether it gets an empty network namespace.
    package var isolatesNetwork: Bool
    /// What it may use.
    package var limits: ResourceLimits

    /// Makes a request.
    package init(
        name: String, arguments: [String], environment: [String: String] = [:], workingDirectory: String = "/",
        user: UInt32, groups: [UInt32] = [], descriptors: [PassedDescriptor] = [], console: ConsoleLog? = nil,
        errorLog: String? = nil, isolatesNetwork: Bool = true, limits: ResourceLimits = ResourceLimits()
    ) {
        self.name = name
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
        self.groups = groups
        self.descriptors = descriptors
        self.console = console
        self.errorLog = errorLog
        self.isolatesNetwork = isolatesNetwork
        self.limits = limits
    }
}

/// A process that the supervisor started.
package struct SupervisedProcess: Hashable, Sendable {
    /// The name it was started under.
    package var name: String
    /// Which process it is.
    package var identity: ProcessIdentity
    /// Nil while it runs.
    package var end: End?

    /// Its end.
    package enum End: Hashable, Sendable {
        /// It ended so.
        case known(ProcessExit)
        /// It ended while nobody could see how.
        case unknown
    }

    /// Makes a process.
    package init(name: String, identity: ProcessIdentity, end: End? = nil) {
        self.name = name
        self.identity = identity
        self.end = end
    }
}

/// Starts processes that outlive the daemon, and keeps their exit status until it was read.
package protocol ProcessSupervisor: Sendable {
    /// Starts a process. Errors: ``ErrorCode/conflict`` where the name is taken, ``ErrorCode/notFound`` where the
    /// program is missing.
    func spawn(_ request: SpawnRequest) async throws -> SupervisedProcess

    /// Every process that was not forgotten, by name.
    func processes() async throws -> [SupervisedProcess]

    /// Suspends until a process has ended. Errors: ``ErrorCode/notFound`` for a name nobody knows.
    /// Survives a supervisor that is replaced meanwhile.
    func waitForExit(_ name: String) async throws -> SupervisedProcess.End

    /// Sends a signal to a process; one that has ended is left alone.
    func signal(_ name: String, _ signal: Int32) async throws

    /// Kills everything in the process's control group.
    func kill(_ name: String) async throws

    /// Forgets a process that has ended and removes its control group. Idempotent.
    func forget(_ name: String) async throws

    /// What could not be limited on this host, a sentence each.
    func limitations() async throws -> [String]
}
