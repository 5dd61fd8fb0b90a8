internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyVMM
internal import FoundationEssentials
internal import Synchronization

/// What is done to a member that runs, by time: certificates, snapshots, space, and learners that are stuck.
extension EtcdMember {
    func maintain(
        _ store: any Store, _ learned: @escaping @Sendable ([EtcdEndpoint]) -> Void
    ) async throws {
        var taken: ContinuousClock.Instant?
        var progress = LearnerProgress(limit: times.stall)
        while true {
            let record = try await stored()
            try await attempt("certificates") { [self] in
                _ = try await pool.run { [self] in try certificates(record.host).ensure(now: Date()) }
            }
            if record.step == .voting {
                // First what may start it again.
                try await attempt("authorities") { try await self.renewTrust(store) }
                let own = try EtcdAdministration(record.near, tls: folder.tls)
                defer { own.close() }
                // Of one that says nothing more is not to be told.
                try await attempt("answers") { _ = try await own.status() }
                guard state.withLock({ $0.trouble["answers"] == nil }) else {
                    try await Task.sleep(for: times.upkeep)
                    continue
                }
                try await attempt("space") { try await self.giveBack(own, store) }
                try await attempt("corrupt") { try await self.checkWhole(own) }
                if taken.map({ $0.duration(to: .now) >= times.snapshot }) ?? true {
                    try await attempt("snapshot") { try await self.snapshot(own) }
                    taken = .now
                }
                try await attempt("members") {
                    try await own.settle()
                    let members = try await own.members()
                    try await self.know(members, own)
                    let record = try await self.stored()
                    learned([record.near] + record.companions)
                    try await self.clear(members, own, &progress)
                }
            }
            // A schedule: upkeep comes by time alone.
            try await Task.sleep(for: times.upkeep)
        }
    }

    private func attempt(_ about: String, _ body: () async throws -> Void) async throws {
        do {
            try await body()
            note(about, nil)
        } catch let error as CancellationError { throw error } catch { note(about, CoveyError.wrapping(error)) }
    }

    /// Removes learners that stand still: nobody can join beside them. Whoever joins does the same for itself, but its
    /// host may be gone.
    private func clear(
        _ members: [EtcdAdministration.Member], _ own: EtcdAdministration, _ progress: inout LearnerProgress
    ) async throws {
        var learners: [UInt64: UInt64?] = [:]
        for learner in members where learner.isLearner {
            learners[learner.id] = .some(nil)
            for endpoint in learner.clients {
                do {
                    let other = try EtcdAdministration(endpoint, tls: folder.tls, patience: .seconds(3))
                    defer { other.close() }
                    learners[learner.id] = .some(try await other.status().applied)
                } catch is CoveyError { continue }
            }
        }
        let now = ContinuousClock.now - state.withLock { $0.joined }
        for id in progress.look(learners, at: now) { try await own.remove(id) }
    }

    /// A member reads authorities at its start alone: it is started again where they are others, one after the other.
    private func renewTrust(_ store: any Store) async throws {
        let record = try await stored()
        let now = try await pool.run { [self] in try certificates(nil).trusted() }
        guard let started = record.trusted, started != now else { return }
        let election = Election(
            store: store, name: "etcd-authorities", candidate: record.name, seconds: 30)
        try await election.lead { [self] _ in
            // Whoever looks after its life starts it again.
            try await supervisor.signal(Self.process, 15)
            let own = try EtcdAdministration(record.near, tls: folder.tls, patience: .seconds(3))
            defer { own.close() }
            try await eventually("the etcd member is back") {
                guard try await self.stored().trusted == now else {
                    throw CoveyError(.unavailable, "the etcd member was not started again yet")
                }
                try await own.settle()
            }
        }
    }

    /// One member after the other, the leader last.
    private func giveBack(_ own: EtcdAdministration, _ store: any Store) async throws {
        let status = try await own.status()
        let isFull = try await own.hasNoSpace()
        let mine = status.space
        guard isFull || mine.isSparse(isFull: false) else { return }
        // Compacting needs no space.
        if isFull { try await store.compact(try await store.currentRevision()) }
        let members = try await own.members()
        var all = await serving(members.filter { $0.id != status.id }).values.map(\.space)
        all.append(try await own.status().space)
        if let turn = Defragmentation.turn(all, of: members.count, isFull: isFull) {
            if turn == status.id { try await own.defragment() }
        }
        guard isFull else { return }
        all = await serving(members.filter { $0.id != status.id }).values.map(\.space)
        all.append(try await own.status().space)
        if all.count == members.count, all.allSatisfy({ $0.size.bytes * 10 < times.quota.bytes * 9 }) {
            return try await own.disarm()
        }
        throw CoveyError(
            .exhausted, "the etcd has no space; it was compacted, and members give back what they can, one by one",
            remedy: "remove what is not needed; what is stored can be read meanwhile", retryable: true)
    }

    private func checkWhole(_ own: EtcdAdministration) async throws {
        let corrupt = try await own.corruptMembers()
        guard !corrupt.isEmpty else { return }
        let isOwn = try await corrupt.contains(own.status().id)
        throw CoveyError(
            .corrupt,
            isOwn
                ? "the data of the etcd member in \(folder.path) is not that of the others"
                : "the data of another etcd member is not that of this one",
            remedy: isOwn
                ? "stop the daemon and covey system uninstall: it is kept aside; the next start joins anew"
                : "see covey doctor on the other hosts")
    }

    private func snapshot(_ administration: EtcdAdministration) async throws {
        let stamp = Int64((Date().timeIntervalSince1970 * 1000).rounded(.down))
        try await administration.snapshot(to: "\(folder.snapshots)/\(stamp).db")
        let (place, kept) = (folder.snapshots, times.snapshots)
        try await pool.run { () throws in
            let all = try listFolder(place).filter { $0.hasSuffix(".db") }
            for old in all.dropLast(kept) { try removeFile("\(place)/\(old)") }
        }
    }
}

extension EtcdAdministration.Status {
    /// What matters for space.
    var space: Defragmentation.Member {
        Defragmentation.Member(
            id: id, size: size, used: used, isLeader: isLeader, isLearner: isLearner, applied: applied)
    }
}
