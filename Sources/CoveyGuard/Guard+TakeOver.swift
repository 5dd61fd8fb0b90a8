internal import CoveyGuardProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

extension Guard {
    /// What an earlier guard, or this one before it replaced itself, has left; nil where there was none.
    static func earlierState(_ options: GuardOptions) throws -> GuardState? {
        if let handover = options.handover {
            let memory = FileDescriptor(owning: handover.state)
            do {
                var state = try GuardState(decoding: readAll(memory.raw))
                state.replacements += 1
                return state
            } catch { note("the replaced guard's state is not understood: \(error)") }
        }
        return try GuardState.load(from: options.statePath, note: note)
    }

    /// Takes over what an earlier guard has left.
    func takeOver(_ state: GuardState) throws {
        if options.handover != nil { replacements = state.replacements }
        for descriptor in state.pipes.values { try setCloseOnExec(descriptor) }
        for record in state.records { try takeOver(record, state.pipes) }
    }

    /// Takes processes over that only their control groups tell of.
    func adoptOthers() throws {
        for name in try groups.names() where table[name] == nil { try adopt(name) }
    }

    private func takeOver(_ record: ProcessRecord, _ pipes: [String: Int32]) throws {
        var record = record
        if record.phase == .starting {
            // Its start was written down; whether it came to be, the group knows.
            guard let facts = try oldestMember(record.name) else {
                for outlet in record.outlets { drain.finish(outlet.fifo) }
                _ = try groups.remove(record.name)
                return
            }
            record.pid = facts.pid
            record.startTime = facts.startTime
            record.phase = .running
        }
        table.take(record)
        for outlet in record.outlets {
            if let descriptor = try pipes[outlet.fifo] ?? openFIFO(outlet.fifo) {
                drain.add(outlet, descriptor: descriptor, beginsAnew: false)
            }
        }
        if record.hasEnded {
            // Its pipes may hold bytes still, or be left from a guard that ended between two steps.
            finishLogs(record.name)
        } else {
            follow(record)
        }
    }

    /// Watches a process of an earlier guard, or finds that it has ended.
    private func follow(_ record: ProcessRecord) {
        guard record.bootID == bootID else { return processEnded(record.name, .unknown) }
        do throws(SystemError) {
            let descriptor = try ProcessDescriptor(pid: record.pid)
            // Looked at with the descriptor open: the pid cannot change its owner between the two any more.
            guard let facts = ProcessFacts(pid: record.pid), facts.startTime == record.startTime else {
                return processEnded(record.name, .unknown)
            }
            watch(record.name, LiveProcess(descriptor))
        } catch { processEnded(record.name, .unknown) }
    }

    /// Takes a process over that only its control group tells of; an empty group is removed.
    private func adopt(_ name: String) throws {
        guard let facts = try oldestMember(name) else {
            if try !groups.remove(name) { note("control group \(name) cannot be removed") }
            return
        }
        var record = ProcessRecord(name: name, mark: "", bootID: bootID)
        record.pid = facts.pid
        record.startTime = facts.startTime
        record.phase = .running
        table.take(record)
        note("process \(name) (\(facts.pid)) was found by its control group")
        follow(record)
    }

    /// The process that was started in a group: the leader of its session, else the oldest.
    private func oldestMember(_ name: String) throws -> ProcessFacts? {
        let members = try groups.members(name).compactMap { ProcessFacts(pid: $0) }.filter { !$0.isZombie }
        let leaders = members.filter { $0.session == $0.pid }
        return (leaders.isEmpty ? members : leaders).min { ($0.startTime, $0.pid) < ($1.startTime, $1.pid) }
    }

    private static func readAll(_ descriptor: Int32) throws(SystemError) -> [UInt8] {
        var bytes: [UInt8] = []
        while let part = try readSome(descriptor), !part.isEmpty { bytes += part }
        return bytes
    }
}
