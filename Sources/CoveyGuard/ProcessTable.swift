package import CoveyGuardProtocol
package import CoveyModel

/// A pipe that the guard drains into a file.
package struct Outlet: Hashable, Sendable {
    /// What is kept when there is more than the limit.
    package enum Policy: Hashable, Sendable {
        /// The newest bytes, in two files of half the size.
        case newest
        /// The first bytes.
        case first
    }

    /// The file.
    package var path: String
    /// What is kept.
    package var policy: Policy
    /// The most bytes on disk.
    package var limit: ByteCount

    /// Makes an outlet.
    package init(path: String, policy: Policy, limit: ByteCount) {
        self.path = path
        self.policy = policy
        self.limit = limit
    }

    /// The pipe's name in the file system; a guard that takes over opens it again.
    package var fifo: String { "\(path).fifo" }
}

/// What the guard knows of a process.
package struct ProcessRecord: Hashable, Sendable {
    /// Where it is in its life.
    package enum Phase: Hashable, Sendable {
        /// Written down before it is started.
        case starting
        /// It runs.
        case running
        /// It has ended, and was not forgotten yet.
        case ended(GuardedEnd)
    }

    /// Its name.
    package var name: String
    /// The mark of the request that started it; empty where nobody knows it.
    package var mark: String
    /// Its pid; 0 while it is starting.
    package var pid: Int32 = 0
    /// Clock ticks from boot to its start.
    package var startTime: UInt64 = 0
    /// The boot.
    package var bootID: String
    /// Where it is in its life.
    package var phase = Phase.starting
    /// Its console and error log.
    package var outlets: [Outlet] = []

    /// Makes the record of a process that is about to start.
    package init(name: String, mark: String, bootID: String, outlets: [Outlet] = []) {
        self.name = name
        self.mark = mark
        self.bootID = bootID
        self.outlets = outlets
    }

    /// As clients see it.
    package var process: GuardedProcess {
        var process = GuardedProcess(name: name, pid: pid, startTime: startTime, bootID: bootID)
        if case .ended(let end) = phase { process.end = end }
        return process
    }

    /// Whether it has ended.
    package var hasEnded: Bool { process.end != nil }
}

/// The life of every process, without I/O: absent → starting → running → ended → absent.
package struct ProcessTable: Hashable, Sendable {
    /// The records by name.
    package private(set) var records: [String: ProcessRecord] = [:]

    /// An empty table.
    package init() {}

    /// What a request to start leads to.
    package enum Beginning: Hashable, Sendable {
        /// The process is to be started now.
        case start
        /// The request was carried out before.
        case repeated(GuardedProcess)
    }

    /// The record of a name.
    package subscript(name: String) -> ProcessRecord? { records[name] }

    /// All records, sorted by name.
    package var sorted: [ProcessRecord] { records.values.sorted { $0.name < $1.name } }

    /// Writes a process down that is to be started. Errors: ``ErrorCode/conflict`` where the name, or a log, is taken.
    package mutating func begin(_ record: ProcessRecord) throws(CoveyError) -> Beginning {
        if let old = records[record.name] {
            if !record.mark.isEmpty && old.mark == record.mark && old.phase != .starting {
                return .repeated(old.process)
            }
            throw CoveyError(
                .conflict, "process \(record.name) exists already",
                remedy: "forget it first, or use another name", resource: ResourceReference("process", record.name))
        }
        let wanted = Set(record.outlets.map(\.path))
        let taken = records.values.flatMap { $0.hasEnded ? [] : $0.outlets }.map(\.path)
        if let path = taken.first(where: wanted.contains) {
            throw CoveyError(.conflict, "log \(path) belongs to another process")
        }
        records[record.name] = record
        return .start
    }

    /// The start has failed: nothing is left of it.
    package mutating func failed(_ name: String) {
        if records[name]?.phase == .starting { records[name] = nil }
    }

    /// The process runs.
    package mutating func started(_ name: String, pid: Int32, startTime: UInt64) {
        records[name]?.pid = pid
        records[name]?.startTime = startTime
        records[name]?.phase = .running
    }

    /// The process has ended. The first end counts.
    package mutating func ended(_ name: String, _ end: GuardedEnd) {
        if records[name]?.hasEnded == false { records[name]?.phase = .ended(end) }
    }

    /// Whether a name may be forgotten. Errors: ``ErrorCode/conflict`` while the process runs.
    package func checkForget(_ name: String) throws(CoveyError) {
        guard let record = records[name], !record.hasEnded else { return }
        throw CoveyError(
            .conflict, "process \(name) still runs", remedy: "kill it first",
            resource: ResourceReference("process", name))
    }

    /// Forgets a process that has ended.
    package mutating func forget(_ name: String) {
        if records[name]?.hasEnded == true { records[name] = nil }
    }

    /// Takes a record over from an earlier guard.
    package mutating func take(_ record: ProcessRecord) { records[record.name] = record }
}
