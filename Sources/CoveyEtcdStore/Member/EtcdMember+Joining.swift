internal import CoveyModel
internal import CoveySystem
internal import CoveyVMM
internal import FoundationEssentials
internal import Synchronization

/// A member comes into a cluster that is there. Each step can be done again.
extension EtcdMember {
    /// Joins, until it votes. One that stands still is removed, and joins again when a daemon is started anew.
    func join(_ learned: @escaping @Sendable ([EtcdEndpoint]) -> Void) async throws {
        var progress = LearnerProgress(limit: times.stall)
        var life = MemberLife(unit: times.pause)
        while true {
            do {
                if try await step(&progress, &life) {
                    note("join", nil)
                    note("member", nil)
                    let record = try await stored()
                    return learned([record.near] + record.companions)
                }
            } catch let stop as JoinStopped {
                note("join", stop.error)
                // Until the daemon is started anew.
                while true { try await Task.sleep(for: .seconds(3600)) }
            } catch let error as CoveyError { note("join", error) }
            // The others and the copying of data take their time; only asking again tells.
            try await Task.sleep(for: times.step)
        }
    }

    /// Does the next step; whether it votes now.
    private func step(_ progress: inout LearnerProgress, _ life: inout MemberLife) async throws -> Bool {
        let record = try await stored()
        let next = try await withVoter(record) { [self] voter, members in
            let next = MemberJoin.next(record, members)
            switch next {
            case .remove(let id):
                if let there = await serving(members.filter { $0.id == id })[id] {
                    throw CoveyError(
                        .conflict, "another etcd member (\(String(there.id, radix: 16))) runs at \(record.peer)",
                        remedy: "give this host an etcd.listen of its own")
                }
                try await checkLoss(of: id, members, voter)
                try await voter.remove(id)
            case .wait(let id):
                throw CoveyError(
                    .unavailable, "another member (\(String(id, radix: 16))) is joining the etcd",
                    remedy: "this one does after it, by itself", retryable: true)
            case .add:
                // What an earlier member has stored must not be there when a new one starts.
                try await setAside()
                try await change { $0.phase = .adding }
                try reach("join.intended")
                let added = try await voter.addLearner(peer: record.peer)
                try reach("join.added")
                try await adopt(added.id, try await voter.members(), voter)
            case .adopt(let id): try await adopt(id, members, voter)
            case .run, .vote, .gone: break
            }
            if next == .run || next == .vote { try await know(members, voter) }
            return next
        }
        switch next {
        case .remove, .add, .adopt, .wait: return false
        case .gone:
            try await discard()
            throw JoinStopped(
                error: CoveyError(
                    .conflict, "the etcd member in \(folder.path) was removed before it voted",
                    remedy: "see that the others reach it at \(record.peer), then start the daemon anew"))
        case .vote:
            try await change { $0.phase = .voting }
            return true
        case .run: return try await follow(record, &progress, &life)
        }
    }

    /// Is the member that was added.
    private func adopt(
        _ id: UInt64, _ members: [EtcdAdministration.Member], _ voter: EtcdAdministration
    ) async throws {
        let cluster = try await voter.status().clusterID
        try await change { record in
            record.id = id
            record.clusterID = cluster
            record.cluster = MemberJoin.cluster(members, joining: id, as: record.name)
            record.phase = .learner
        }
        try reach("join.stored")
    }

    /// Runs as a learner, and asks to vote when it has what the others have; whether it votes now.
    private func follow(
        _ record: MemberRecord, _ progress: inout LearnerProgress, _ life: inout MemberLife
    ) async throws -> Bool {
        guard let id = record.id else { throw CoveyError(.internalError, "a learner without an id") }
        let there = try await supervisor.processes().first { $0.name == Self.process }
        if there == nil || there?.end != nil {
            if let end = there?.end { try await recover(from: end, &life) }
            try await spawn()
            try reach("join.started")
        }
        let own = try EtcdAdministration(record.near, tls: folder.tls, patience: .seconds(3))
        defer { own.close() }
        var applied: UInt64?
        do { applied = try await own.status().applied } catch is CoveyError {}
        let elapsed = ContinuousClock.now - joinStart
        guard progress.look([id: applied], at: elapsed).isEmpty else {
            try await withVoter(record) { voter, _ in try await voter.remove(id) }
            try await discard()
            throw JoinStopped(
                error: CoveyError(
                    .deadline,
                    "the etcd member in \(folder.path) got nothing from the others for \(times.stall.components.seconds) "
                        + "s, and was removed",
                    remedy: "see that the others reach it at \(record.peer), then start the daemon anew"))
        }
        guard let applied, applied > 0 else {
            throw CoveyError(
                .unavailable, "the etcd member in \(folder.path) has joined, and has nothing from the others yet",
                remedy: "see that the others reach it at \(record.peer)", retryable: true)
        }
        try await withVoter(record) { [self] voter, _ in
            let newest = try await voter.status().applied
            guard applied * 10 >= newest * 9 else {
                throw CoveyError(
                    .unavailable, "the etcd member in \(folder.path) catches up: \(applied) of \(newest)",
                    remedy: "it votes by itself when it has", retryable: true)
            }
            try reach("join.caught-up")
            try await voter.promote(id)
        }
        try reach("join.promoted")
        try await change { $0.phase = .voting }
        return true
    }

    /// Waits before a learner that ended is started again, or says that it is not.
    private func recover(from end: SupervisedProcess.End, _ life: inout MemberLife) async throws {
        let (lifetime, served) = state.withLock { ($0.begun.duration(to: .now), $0.served) }
        let disk = try await pool.run { [folder] in folder.probe() }
        let facts = MemberLife.Facts(
            MemberLife.End(end), after: lifetime, served: served, isFollower: true, disk: disk)
        note("member", MemberLife.trouble(facts, place: folder.path))
        switch life.ended(facts, place: folder.path) {
        case .restart(let pause): try await Task.sleep(for: pause)
        case .removed:
            // Where the others have removed it, they say so in the next round.
            throw CoveyError(.conflict, "the etcd member in \(folder.path) ended while it joined")
        case .replace, .stay:
            try await discard()
            throw JoinStopped(
                error: CoveyError(
                    .failure, "the etcd member in \(folder.path) ends as soon as it is started",
                    remedy: "see \(folder.path)/etcd.log, then start the daemon anew"))
        }
    }

    /// Remembers the others.
    func know(_ members: [EtcdAdministration.Member], _ voter: EtcdAdministration) async throws {
        try await change { record in
            guard let id = record.id else { return }
            let others = members.filter { $0.id != id && !$0.isLearner }
            let clients = others.flatMap(\.clients)
            // One that never started says nothing of itself.
            if others.isEmpty || !clients.isEmpty { record.others = clients.map(\.description).sorted() }
        }
    }

    /// What a member that never voted has stored is the others', too; it is kept aside all the same.
    private func discard() async throws {
        try await setAside()
        try await change { $0.beginAnew() }
    }

    /// Ends it, and keeps what it has stored under another name.
    func setAside() async throws {
        try await Self.end(supervisor)
        _ = try await pool.run { [folder] in try folder.setDataAside() }
    }

    private var joinStart: ContinuousClock.Instant { state.withLock { $0.joined } }
}

/// A join that does not go on by itself.
private struct JoinStopped: Error {
    var error: CoveyError
}
