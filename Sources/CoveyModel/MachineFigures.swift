/// What a machine has used since its VMM was started.
package struct MachineFigures: Hashable, Codable, Sendable {
    /// When it was seen.
    package var at: Timestamp
    /// Nanoseconds of CPU time, of all CPUs and of the VMM's own work.
    package var cpuNanoseconds: UInt64
    /// Bytes of guest memory that are resident on the host.
    package var memoryBytes: UInt64
    /// Bytes of memory as the guest sees it; nil where the guest does not answer.
    package var guestMemoryTotal: UInt64?
    /// Bytes of it that the guest could not give to a program; nil where the guest does not answer.
    package var guestMemoryUsed: UInt64?
    /// Bytes read from its disks.
    package var diskReadBytes: UInt64
    /// Bytes written to its disks.
    package var diskWrittenBytes: UInt64
    /// Reads from its disks.
    package var diskReads: UInt64
    /// Writes to its disks.
    package var diskWrites: UInt64
    /// Bytes that it received, over all interfaces.
    package var receivedBytes: UInt64
    /// Packets that it received.
    package var receivedPackets: UInt64
    /// Bytes that it sent.
    package var sentBytes: UInt64
    /// Packets that it sent.
    package var sentPackets: UInt64
    /// Packets of the machine that its egress policy refused.
    package var deniedPackets: UInt64
    /// Packets of the machine with a source that is not its own.
    package var forgedPackets: UInt64

    /// Figures of a machine that has done nothing.
    package init(at: Timestamp) {
        self.at = at
        cpuNanoseconds = 0
        memoryBytes = 0
        diskReadBytes = 0
        diskWrittenBytes = 0
        diskReads = 0
        diskWrites = 0
        receivedBytes = 0
        receivedPackets = 0
        sentBytes = 0
        sentPackets = 0
        deniedPackets = 0
        forgedPackets = 0
    }
}

/// A machine and what it has used, or why that is not known.
package struct MachineUse: Hashable, Codable, Sendable {
    /// Its id.
    package var id: MachineID
    /// Its name.
    package var name: String
    /// What it has used; nil where that is not known.
    package var figures: MachineFigures?
    /// Why that is not known.
    package var error: CoveyError?

    /// Makes one.
    package init(id: MachineID, name: String, figures: MachineFigures? = nil, error: CoveyError? = nil) {
        self.id = id
        self.name = name
        self.figures = figures
        self.error = error
    }
}
