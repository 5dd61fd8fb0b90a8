internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Synchronization

/// The exec channels of a node's machines, shared by workers and clients.
package final class ExecChannels: Sendable {
    private struct Key: Hashable {
        let machine: MachineID
        let exec: String
    }

    private let layout: NodeLayout
    private let pool: BlockingPool
    private let clock: NodeClock
    private let open = Mutex<[Key: ExecChannel]>([:])

    init(layout: NodeLayout, pool: BlockingPool, clock: NodeClock) {
        self.layout = layout
        self.pool = pool
        self.clock = clock
    }

    /// The channel of an exec, made where there is none.
    func channel(_ machine: MachineID, _ exec: String) -> ExecChannel {
        open.withLock { open in
            let key = Key(machine: machine, exec: exec)
            if let channel = open[key] { return channel }
            let journal = Journal(folder: layout.journal(machine, exec: exec))
            let channel = ExecChannel(id: exec, journal: journal, pool: pool, clock: clock)
            open[key] = channel
            return channel
        }
    }

    /// The channels that are open for a machine.
    func channels(_ machine: MachineID) -> [ExecChannel] {
        open.withLock { open in open.filter { $0.key.machine == machine }.map(\.value) }.sorted { $0.id < $1.id }
    }

    /// The execs of a machine, but for its own program, that began and whose end is not known.
    func unfinished(_ machine: MachineID) async throws -> [String] {
        let open = channels(machine)
        let known = Set(open.map(\.id)).union([mainExecID, ExecChannels.previousRun])
        let recorded = try await pool.run { [layout] in
            let logs = layout.logs(machine)
            guard fileExists(logs) else { return [String]() }
            let execs = try listFolder(logs).filter { $0.hasPrefix("exec-") }.map { String($0.dropFirst(5)) }
            return try execs.filter { exec in
                try !known.contains(exec) && Journal(folder: layout.journal(machine, exec: exec)).ending() == nil
            }
        }
        return recorded + open.filter { $0.id != mainExecID && $0.hasBegun && $0.exitCode == nil }.map(\.id)
    }

    /// The recording of the machine's program in the run before this one.
    package static let previousRun = "\(mainExecID)-previous"

    /// A new run begins: the recording of the last one's program makes room, and is kept until the next.
    func beginRun(_ machine: MachineID) async throws {
        let current = layout.journal(machine, exec: mainExecID)
        let previous = layout.journal(machine, exec: ExecChannels.previousRun)
        guard try await pool.run({ fileExists(current) }) else { return }
        try await remove(machine, ExecChannels.previousRun)
        let channel = open.withLock { $0.removeValue(forKey: Key(machine: machine, exec: mainExecID)) }
        let moved = channel ?? ExecChannel(id: mainExecID, journal: Journal(folder: current), pool: pool, clock: clock)
        try await moved.move(to: previous, isRemovedAtEnd: false)
    }

    /// Says of every exec that still ran that it ended with the machine, and of one that never did, why.
    func finishAll(_ machine: MachineID, code: Int32, reason: CoveyError? = nil) async throws {
        for channel in channels(machine) where channel.exitCode == nil {
            if channel.hasBegun {
                try await channel.finish(code)
            } else {
                channel.abandon(
                    reason ?? CoveyError(.conflict, "the machine ended before its program \(channel.id) began"))
            }
        }
    }

    /// Lets go of a machine's channels; who follows one reads on until its end.
    func forget(_ machine: MachineID) async throws {
        for channel in channels(machine) { try await release(machine, channel) }
    }

    /// Lets go of one channel and removes its journal.
    func remove(_ machine: MachineID, _ exec: String) async throws {
        if let channel = channels(machine).first(where: { $0.id == exec }) { try await release(machine, channel) }
        let journal = layout.journal(machine, exec: exec)
        try await pool.run { try removeTree(journal) }
    }

    private func release(_ machine: MachineID, _ channel: ExecChannel) async throws {
        _ = open.withLock { $0.removeValue(forKey: Key(machine: machine, exec: channel.id)) }
        if channel.isFollowed { try await channel.move(to: layout.leftJournal(), isRemovedAtEnd: true) }
    }
}
