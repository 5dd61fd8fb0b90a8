package import CoveyModel

/// A disk as a VMM is to open it.
package struct DiskPlan: Hashable, Sendable {
    /// How the bytes lie in the file.
    package enum Format: String, Codable, Sendable { case raw, qcow2 }

    /// The file.
    package var path: String
    /// How the bytes lie in it.
    package var format: Format
    /// The raw file that a qcow2 overlay stands on; nil without one.
    package var backing: String?
    /// Whether the guest may only read.
    package var readOnly: Bool
    /// At most 20 bytes, seen by the guest as the virtio-blk serial.
    package var serial: String
    /// Whether the path is a block device and not a file.
    package var isDevice: Bool

    /// Makes a disk of a plan.
    package init(
        path: String, format: Format, backing: String? = nil, readOnly: Bool, serial: String, isDevice: Bool = false
    ) {
        self.path = path
        self.format = format
        self.backing = backing
        self.readOnly = readOnly
        self.serial = serial
        self.isDevice = isDevice
    }
}

/// All that a driver needs to start a VMM, fully resolved: drivers hold no policy.
package struct LaunchPlan: Hashable, Sendable {
    /// The machine.
    package var machine: MachineID
    /// The machine's name, for people who read a process list.
    package var name: String
    /// The daemon root's instance.
    package var instance: InstanceID
    /// The run; part of the name of every host object.
    package var runGeneration: Int64
    /// `kvm` or `tcg`; never `auto`.
    package var accelerator: Accelerator
    /// Virtual CPUs.
    package var cpus: Int
    /// Guest memory.
    package var memory: ByteCount
    /// The uncompressed ELF kernel; ``user`` must be able to read the file, though not to enter its folder.
    package var kernel: String
    /// The initramfs; readable as the kernel is.
    package var initramfs: String
    /// Kernel arguments that do not depend on the VMM.
    package var kernelArguments: [String]
    /// The disks, in the order in which the guest sees them.
    package var disks: [DiskPlan]
    /// What each disk that may be written to reads and writes in a second; nil is without bound.
    package var diskLimit: TrafficLimit?
    /// The network interfaces, in the order in which the guest sees them.
    package var interfaces: [InterfacePlan]
    /// A folder of this run that only root can enter, for sockets; it exists.
    package var runFolder: String
    /// The guest memory's file on a tmpfs of ours; the driver makes it and ``VMMDriver/destroy(_:)`` removes it.
    package var memoryFile: String
    /// The console log; rotated, at most ``consoleLimit`` in all.
    package var consoleLog: String
    /// The most that the console log may take on disk.
    package var consoleLimit: ByteCount
    /// The uid and gid that the VMM runs as.
    package var user: UInt32

    /// Makes a plan.
    package init(
        machine: MachineID, name: String, instance: InstanceID, runGeneration: Int64, accelerator: Accelerator,
        cpus: Int, memory: ByteCount, kernel: String, initramfs: String, kernelArguments: [String] = [],
        disks: [DiskPlan], diskLimit: TrafficLimit? = nil, interfaces: [InterfacePlan] = [], runFolder: String,
        memoryFile: String, consoleLog: String, consoleLimit: ByteCount = .mebibytes(8), user: UInt32
    ) {
        self.machine = machine
        self.name = name
        self.instance = instance
        self.runGeneration = runGeneration
        self.accelerator = accelerator
        self.cpus = cpus
        self.memory = memory
        self.kernel = kernel
        self.initramfs = initramfs
        self.kernelArguments = kernelArguments
        self.disks = disks
        self.diskLimit = diskLimit
        self.interfaces = interfaces
        self.runFolder = runFolder
        self.memoryFile = memoryFile
        self.consoleLog = consoleLog
        self.consoleLimit = consoleLimit
        self.user = user
    }

    /// The guard's name for the VMM's process: unique per instance, machine and run.
    package var processName: String { "vm-\(machine)-\(runGeneration)" }
}
