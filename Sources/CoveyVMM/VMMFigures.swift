package import CoveyModel

/// What a VMM has used of its host since it was started.
package struct VMMFigures: Hashable, Sendable {
    /// Time on the host's CPUs, of the guest and of the VMM for it.
    package var cpuTime: Duration
    /// Memory that is resident on the host; pages of the guest's that it has not touched do not count.
    package var residentMemory: ByteCount
    /// What went through the disks, in the plan's order.
    package var disks: [DiskFigures]

    /// Makes figures.
    package init(cpuTime: Duration, residentMemory: ByteCount, disks: [DiskFigures]) {
        self.cpuTime = cpuTime
        self.residentMemory = residentMemory
        self.disks = disks
    }
}

/// What went through a disk since the VMM was started, as the guest asked for it.
package struct DiskFigures: Hashable, Sendable {
    /// Which of the plan's disks, from 0.
    package var index: Int
    /// Bytes that were read.
    package var readBytes: UInt64
    /// Requests to read that were done.
    package var readOperations: UInt64
    /// Bytes that were written.
    package var writtenBytes: UInt64
    /// Requests to write that were done.
    package var writeOperations: UInt64

    /// Makes figures.
    package init(
        index: Int, readBytes: UInt64 = 0, readOperations: UInt64 = 0, writtenBytes: UInt64 = 0,
        writeOperations: UInt64 = 0
    ) {
        self.index = index
        self.readBytes = readBytes
        self.readOperations = readOperations
        self.writtenBytes = writtenBytes
        self.writeOperations = writeOperations
    }
}

/// A VMM that says what it uses.
package protocol MeasuredVMM: RunningVMM {
    /// What it has used until now. Errors: ``ErrorCode/notFound`` where its process is gone,
    /// ``ErrorCode/unavailable`` and ``ErrorCode/deadline`` where it does not answer.
    func figures() async throws -> VMMFigures
}
