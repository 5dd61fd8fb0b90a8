internal import CoveyModel
internal import CoveySystem
internal import CoveyVMM
internal import Synchronization

/// A member leaves its cluster.
extension EtcdMember {
    /// Takes the member out of its cluster where there are others, and ends it. What it has stored is kept under
    /// another name; a daemon that is started again joins as a new member. Can be done again at any step.
    ///
    /// - Returns: What was done, a sentence each.
    /// - Throws: ``ErrorCode/conflict`` where the others would have no quorum; nothing was changed then.
    package func leave() async throws -> [String] {
        let folder = folder
        guard let record = try await pool.run({ try folder.load() }) else { return [] }
        state.withLock { $0.record = record }
        guard try await hasCompany(record) else {
            try await Self.end(supervisor)
            return []
        }
        var done: [String] = []
        switch record.step {
        case .joining: break
        case .adding, .learner, .voting:
            if record.step == .voting, try await !isRunning(), try await outdated(record) == nil {
                // Of two members both are needed for one to go.
                try await spawn()
            }
            try await depart(record)
            done.append("removed the etcd member \(record.name) from its cluster")
        case .removed: break
        }
        if record.step == .voting {
            // One that is removed ends by itself.
            do {
                _ = try await withDeadline(.seconds(10), "the end of the etcd member") { [supervisor] in
                    try await supervisor.waitForExit(Self.process)
                }
            } catch let error as CoveyError where error.code == .deadline || error.code == .notFound {}
        }
        try await Self.end(supervisor)
        if let kept = try await pool.run({ try folder.setDataAside() }) {
            done.append("kept what it had stored in \(kept)")
        }
        if record.step != .joining { try await change { $0.beginAnew() } }
        return done
    }

    /// Whether there are others; those that left while no daemon ran are known to the member itself.
    private func hasCompany(_ record: MemberRecord) async throws -> Bool {
        guard record.hasOthers, record.step == .voting, try await isRunning() else { return record.hasOthers }
        let own = try EtcdAdministration(record.near, tls: folder.tls, patience: .seconds(3))
        defer { own.close() }
        do {
            try await own.settle()
            let count = try await own.members().count
            if count == 1 { try await change { $0.others = [] } }
            return count > 1
        } catch is CoveyError { return true }
    }

    private func depart(_ record: MemberRecord) async throws {
        let end = ContinuousClock.now + .seconds(15)
        while true {
            do {
                return try await withVoter(record) { [self] voter, members in
                    let own =
                        members.first { $0.id == record.id }
                        ?? members.first { record.id == nil && $0.peers.contains(record.peer) }
                    if let own {
                        try await checkLoss(of: own.id, members, voter)
                        try await voter.remove(own.id)
                    }
                    try await voter.confirm()
                }
            } catch let error as CoveyError where error.code == .unavailable {
                guard ContinuousClock.now < end else {
                    throw CoveyError(
                        .conflict, "the etcd member \(record.name) cannot leave: the others have no quorum without it",
                        remedy: "start the others first; where they are gone for good: covey system restore --survivor",
                        cause: error)
                }
                // A member that was started a moment ago is not counted yet.
                try await Task.sleep(for: .milliseconds(500))
            }
        }
    }
}
