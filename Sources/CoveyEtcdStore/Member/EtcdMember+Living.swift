internal import CoveyModel
internal import CoveySystem
internal import CoveyVMM
internal import FoundationEssentials
internal import Synchronization

/// The life of a member: it joins, runs, ends, is started again, and is replaced where its data is damaged.
extension EtcdMember {
    func live(_ learned: @escaping @Sendable ([EtcdEndpoint]) -> Void) async throws {
        var life = MemberLife(unit: times.pause)
        while true {
            do {
                switch try await stored().step {
                case .joining, .adding, .learner: try await join(learned)
                case .voting: try await outlive(&life)
                case .removed:
                    // Until an operator decides, who ends the daemon for it.
                    while true { try await Task.sleep(for: .seconds(3600)) }
                }
            } catch let error as CoveyError {
                // Its disk, or the guard: neither tells when it works again.
                note("keeping", error)
                try await Task.sleep(for: .seconds(5))
            }
        }
    }

    /// Waits for its end, and does what follows.
    private func outlive(_ life: inout MemberLife) async throws {
        if try await supervisor.processes().allSatisfy({ $0.name != Self.process }) { try await revive() }
        let end = try await awaitEnd()
        let record = try await stored()
        let (lifetime, served) = state.withLock { ($0.begun.duration(to: .now), $0.served) }
        let disk = try await pool.run { [folder] in folder.probe() }
        let facts = MemberLife.Facts(
            end, after: lifetime, served: served, isFollower: record.hasOthers, disk: disk)
        note("member", MemberLife.trouble(facts, place: folder.path))
        switch life.ended(facts, place: folder.path) {
        case .removed(let error):
            if case .member = try await standing(record) {
                try await Task.sleep(for: times.pause)
                return try await revive()
            }
            try await change { $0.phase = .removed }
            note("member", error)
        case .replace:
            life = MemberLife(unit: times.pause)
            try await replace()
        case .stay(let error):
            note("member", error)
            if state.withLock({ $0.isOpening }) { throw MemberGivenUp(error: error) }
            // Until the daemon is started anew.
            while true { try await Task.sleep(for: .seconds(3600)) }
        case .restart(let pause):
            // Back-off: one that dies again at once must not keep the host busy.
            try await rest(pause, disk)
            try await revive()
        }
    }

    /// Waits before it is started again: where its disk is full, until there is space, if that is sooner.
    private func rest(_ pause: Duration, _ disk: MemberDisk) async throws {
        let end = ContinuousClock.now + pause
        repeat {
            try await Task.sleep(for: disk == .full ? times.step : pause)
            if disk == .full, try await pool.run({ [folder] in folder.probe() }) != .full { return }
        } while ContinuousClock.now < end
    }

    /// Waits for its end, and sees meanwhile whether it answers.
    private func awaitEnd() async throws -> MemberLife.End {
        try await withThrowingTaskGroup(of: MemberLife.End?.self) { group in
            group.addTask { [supervisor] in
                MemberLife.End(try await supervisor.waitForExit(Self.process))
            }
            group.addTask {
                try await self.awaitService()
                return nil
            }
            defer { group.cancelAll() }
            while let end = try await group.next() {
                if let end { return end }
            }
            return .unknown
        }
    }

    /// Looks at the member until it answers once.
    private func awaitService() async throws {
        let own = try EtcdAdministration(try await stored().near, tls: folder.tls, patience: .seconds(2))
        defer { own.close() }
        while true {
            do {
                let status = try await own.status()
                state.withLock { $0.served = true }
                try await change { record in
                    record.id = status.id
                    record.clusterID = status.clusterID
                }
                return note("member", nil)
            } catch is CoveyError {}
            try await Task.sleep(for: times.step)
        }
    }

    /// Starts it again, however often that takes.
    private func revive() async throws {
        while true {
            do { return try await spawn() } catch let error as CoveyError {
                note("member", error)
                // Nothing tells when what kept it from starting is over.
                try await Task.sleep(for: .seconds(5))
            }
        }
    }

    /// Begins anew as a learner, where the others have a quorum without it.
    private func replace() async throws {
        let record = try await stored()
        do {
            try await withVoter(record) { [self] voter, members in
                guard let id = record.id else { throw CoveyError(.unavailable, "the member's id is not known") }
                try await checkLoss(of: id, members, voter)
            }
        } catch let error as CoveyError {
            note(
                "member",
                CoveyError(
                    .corrupt, "the data of the etcd member in \(folder.path) may be damaged, and it cannot be replaced",
                    remedy: "start the other members; it is replaced when they serve", cause: error))
            try await Task.sleep(for: .seconds(30))
            return try await revive()
        }
        try await supervisor.forget(Self.process)
        try await change { $0.beginAnew() }
        note(
            "replaced",
            CoveyError(
                .corrupt, "the etcd member in \(folder.path) did not start \(MemberLife.doubt) times: it was replaced",
                remedy: "see \(folder.path)/etcd.log and the disk; what it had stored is kept beside it as data.aside-N"
            ))
    }

    // MARK: Others

    /// Runs with the first of the others that votes and has a leader, and with the members as it knows them.
    func withVoter<T>(
        _ record: MemberRecord, _ body: (EtcdAdministration, [EtcdAdministration.Member]) async throws -> T
    ) async throws -> T {
        var last = CoveyError(
            .unavailable, "no other member of the etcd is known", remedy: "set etcd.join to one that runs")
        for endpoint in record.companions where endpoint != record.near {
            let voter = try EtcdAdministration(endpoint, tls: folder.tls)
            defer { voter.close() }
            let members: [EtcdAdministration.Member]
            do {
                try await voter.settle()
                members = try await voter.members()
            } catch let error as CoveyError {
                last = error
                continue
            }
            return try await body(voter, members)
        }
        throw last
    }

    /// Throws ``ErrorCode/conflict`` where the members would have no quorum without one of them.
    func checkLoss(
        of id: UInt64, _ members: [EtcdAdministration.Member], _ voter: EtcdAdministration
    ) async throws {
        guard let member = members.first(where: { $0.id == id }), !member.isLearner else { return }
        let serving = await serving(members.filter { $0.id != id })
        guard MemberJoin.canLose(id, of: members, serving: Set(serving.keys)) else {
            let rest = members.count { $0.id != id && !$0.isLearner }
            throw CoveyError(
                .conflict,
                "without the etcd member \(member.name) there is no quorum: \(serving.count) of \(rest) others serve",
                remedy: "start the others first; where they are gone for good: covey system restore --survivor")
        }
    }

    /// What members say of themselves, by their ids; those that answer and know a leader.
    func serving(
        _ members: [EtcdAdministration.Member]
    ) async -> [UInt64: EtcdAdministration.Status] {
        let tls = folder.tls
        return await withTaskGroup(of: EtcdAdministration.Status?.self) { group in
            for member in members where !member.isLearner {
                group.addTask {
                    for endpoint in member.clients {
                        do {
                            let own = try EtcdAdministration(endpoint, tls: tls, patience: .seconds(3))
                            defer { own.close() }
                            let status = try await own.status()
                            if status.id == member.id && status.hasLeader { return status }
                        } catch { continue }
                    }
                    return nil
                }
            }
            return await group.reduce(into: [:]) { found, status in
                if let status { found[status.id] = status }
            }
        }
    }

    /// What the others say of a member.
    enum Standing {
        /// It is one of them.
        case member
        /// They go on without it.
        case gone(CoveyError)
        /// Nobody says anything.
        case unknown
    }

    /// What tells that the cluster of a member goes on without it: another one says so that has a leader. Nil where
    /// nobody does.
    func outdated(_ record: MemberRecord) async throws -> CoveyError? {
        guard case .gone(let error) = try await standing(record) else { return nil }
        return error
    }

    private func standing(_ record: MemberRecord) async throws -> Standing {
        guard let id = record.id, record.hasOthers else { return .unknown }
        for endpoint in record.companions where endpoint != record.near {
            do {
                let other = try EtcdAdministration(endpoint, tls: folder.tls, patience: .seconds(2))
                defer { other.close() }
                let status = try await other.status()
                guard status.hasLeader, !status.isLearner else { continue }
                if let cluster = record.clusterID, cluster != status.clusterID {
                    return .gone(
                        CoveyError(
                            .conflict,
                            "the etcd at \(endpoint) was restored, and the member in \(folder.path) is of before",
                            remedy: MemberLife.removal(folder.path).remedy))
                }
                try await other.settle()
                if try await !other.members().contains(where: { $0.id == id }) {
                    return .gone(MemberLife.removal(folder.path))
                }
                return .member
            } catch is CoveyError { continue }
        }
        return .unknown
    }
}

extension MemberLife.End {
    /// As a supervisor saw it.
    init(_ end: SupervisedProcess.End) {
        switch end {
        case .known(.exited(let status)): self = .exited(status)
        case .known(.signalled(let signal)): self = .signalled(signal)
        case .unknown: self = .unknown
        }
    }
}

extension MemberRecord {
    /// Forgets what it was in its cluster: it joins as another member.
    mutating func beginAnew() {
        name = "covey-" + String(UInt64.random(in: .min ... .max), radix: 16)
        phase = .joining
        joins = true
        id = nil
        cluster = ""
    }
}
