package import CoveyModel

/// What identifies a VMM over a daemon's restart. Kept in a file, apart from the machine's durable description.
package struct MachineHandle: Hashable, Codable, Sendable {
    /// The record's format.
    package var version: Int
    /// The machine.
    package var machine: MachineID
    /// The run.
    package var runGeneration: Int64
    /// The driver that started it.
    package var driver: DriverName
    /// The VMM's version.
    package var vmmVersion: String
    /// The accelerator in use.
    package var accelerator: Accelerator
    /// The VMM as a process.
    package var process: ProcessIdentity
    /// The guard's name for it.
    package var processName: String
    /// The VMM's control socket.
    package var controlSocket: String
    /// The socket of the guest channel.
    package var guestSocket: String
    /// The guest memory's file.
    package var memoryFile: String
    /// The pipe that the guest's serial port reads from; nil where it has none, as with a VMM of an older daemon.
    package var consoleInput: String?

    /// Makes a handle of the current format.
    package init(
        machine: MachineID, runGeneration: Int64, driver: DriverName, vmmVersion: String, accelerator: Accelerator,
        process: ProcessIdentity, processName: String, controlSocket: String, guestSocket: String, memoryFile: String,
        consoleInput: String? = nil
    ) {
        version = 1
        self.machine = machine
        self.runGeneration = runGeneration
        self.driver = driver
        self.vmmVersion = vmmVersion
        self.accelerator = accelerator
        self.process = process
        self.processName = processName
        self.controlSocket = controlSocket
        self.guestSocket = guestSocket
        self.memoryFile = memoryFile
        self.consoleInput = consoleInput
    }
}

/// A process, told from another with the same pid.
package struct ProcessIdentity: Hashable, Codable, Sendable {
    /// The pid in the host's namespace.
    package var pid: Int32
    /// Field 22 of `/proc/PID/stat`: clock ticks from boot to its start.
    package var startTime: UInt64
    /// `/proc/sys/kernel/random/boot_id` of the boot it was started in.
    package var bootID: String

    /// Makes an identity.
    package init(pid: Int32, startTime: UInt64, bootID: String) {
        self.pid = pid
        self.startTime = startTime
        self.bootID = bootID
    }
}

/// Something that a VMM said, or its end.
package enum VMMEvent: Hashable, Sendable {
    /// The CPUs run.
    case resumed
    /// The CPUs are stopped.
    case paused
    /// The guest powered itself off, or did as it was asked.
    case guestPoweredOff
    /// The guest reset itself: a reboot or a panic, which only the guest agent can tell apart.
    case guestReset
    /// A program in the guest opened the channel, or closed it: its agent has come, or is gone.
    case guestChannel(open: Bool)
    /// The process is gone; the status is nil where nobody knows it.
    case exited(ProcessExit?)
}

/// What a driver does. Optional abilities are refinements of ``RunningVMM``.
package protocol VMMDriver: Sendable {
    /// Which driver it is.
    var name: DriverName { get }

    /// What it finds on this host; never fails, but says why not.
    func fingerprint() async -> DriverFacts

    /// The accelerator that a wish comes to on this host. Errors: ``ErrorCode/unsupported`` with the reason.
    func accelerator(_ wanted: Accelerator) async throws -> Accelerator

    /// Starts a VMM **with its CPUs stopped**. On failure nothing is left behind.
    func launch(_ plan: LaunchPlan) async throws -> any RunningVMM

    /// Takes over a VMM that runs already. Errors: ``ErrorCode/notFound`` where the process is gone,
    /// ``ErrorCode/deadline`` where it does not answer.
    func adopt(_ handle: MachineHandle) async throws -> any RunningVMM

    /// Ends the process whatever it does, waits until it is gone, and removes what ``launch(_:)`` made.
    /// Needs no answer from the VMM and is idempotent.
    func destroy(_ handle: MachineHandle) async throws
}

/// A driver that can tell how a VMM ended while no daemon listened.
package protocol RecollectingVMMDriver: VMMDriver {
    /// What an ended VMM would have said last, ending with ``VMMEvent/exited(_:)``; to be asked before
    /// ``VMMDriver/destroy(_:)``. Errors: ``ErrorCode/conflict`` while it runs.
    func lastEvents(_ handle: MachineHandle) async throws -> [VMMEvent]
}

/// A VMM that this daemon speaks to.
package protocol RunningVMM: Sendable {
    /// What identifies it.
    var handle: MachineHandle { get }

    /// What it says, ending with ``VMMEvent/exited(_:)``, or without it after ``detach()``. One reader.
    /// After ``VMMDriver/adopt(_:)`` the first event says whether the CPUs run.
    var events: AsyncStream<VMMEvent> { get }

    /// Lets the CPUs go.
    func resume() async throws

    /// Presses the power button; the guest may ignore it.
    func powerDown() async throws

    /// Ends the connection and leaves the VMM running.
    func detach() async
}

/// A VMM whose CPUs can be stopped and let go.
package protocol PausableVMM: RunningVMM {
    /// Stops the CPUs.
    func pause() async throws
}
