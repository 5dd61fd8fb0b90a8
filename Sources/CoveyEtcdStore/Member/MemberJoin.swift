package import CoveyModel

/// How a member comes into a cluster that is there, step by step. Values without clock and I/O.
package enum MemberJoin: Hashable, Sendable {
    /// Take a member out of the cluster first: one at our address that is gone for good.
    case remove(UInt64)
    /// Store that we are being added, and add.
    case add
    /// Be the member that was added, as it is told by the cluster.
    case adopt(UInt64)
    /// The cluster knows us as a learner: run, and be promoted when everything is there.
    case run
    /// The cluster knows us as a voter.
    case vote
    /// The cluster does not know us any more.
    case gone
    /// Another one is joining; etcd takes one at a time.
    case wait(UInt64)

    /// Says what is next.
    ///
    /// - Parameters:
    ///   - record: What is stored of ourselves.
    ///   - members: The members as a voter knows them.
    package static func next(_ record: MemberRecord, _ members: [EtcdAdministration.Member]) -> MemberJoin {
        let here = members.first { $0.peers.contains(record.peer) }
        switch record.step {
        case .joining, .adding:
            if let here {
                // One that never started and that we were about to add is ours, its answer was lost. All else at
                // our address is an earlier member, whose data is not what we begin with.
                let isOurs = record.step == .adding && here.name.isEmpty
                return isOurs ? .adopt(here.id) : .remove(here.id)
            }
            return members.first(where: \.isLearner).map { .wait($0.id) } ?? .add
        case .learner, .voting, .removed:
            guard let own = members.first(where: { $0.id == record.id }) else { return .gone }
            return own.isLearner ? .run : .vote
        }
    }

    /// The names and peer URLs that a new member starts with.
    package static func cluster(
        _ members: [EtcdAdministration.Member], joining id: UInt64, as name: String
    ) -> String {
        members.flatMap { member in
            let known = member.name.isEmpty ? "member-\(member.id)" : member.name
            return member.peers.map { "\(member.id == id ? name : known)=\($0)" }
        }.joined(separator: ",")
    }

    /// Whether the members other than one have a quorum among themselves.
    ///
    /// - Parameter serving: The ids of the members that answer and know a leader.
    package static func canLose(
        _ id: UInt64, of members: [EtcdAdministration.Member], serving: Set<UInt64>
    ) -> Bool {
        let rest = members.filter { $0.id != id && !$0.isLearner }
        return !rest.isEmpty && rest.count { serving.contains($0.id) } >= rest.count / 2 + 1
    }
}

/// Whether learners come on: by what they have applied, and since when it is the same.
package struct LearnerProgress: Sendable {
    private var seen: [UInt64: (applied: UInt64, since: Duration)] = [:]
    private let limit: Duration

    /// Learners that stand still for so long are stuck.
    package init(limit: Duration) { self.limit = limit }

    /// Takes a look, and says which are stuck.
    ///
    /// - Parameter learners: What each has applied; nil where it does not say.
    package mutating func look(_ learners: [UInt64: UInt64?], at now: Duration) -> [UInt64] {
        seen = seen.filter { learners[$0.key] != nil }
        var stuck: [UInt64] = []
        for (id, applied) in learners.sorted(by: { $0.key < $1.key }) {
            let applied = applied ?? seen[id]?.applied ?? 0
            guard let last = seen[id], last.applied == applied else {
                seen[id] = (applied, now)
                continue
            }
            if now - last.since >= limit { stuck.append(id) }
        }
        return stuck
    }
}

/// Which member gives unused space back: one at a time, the leader last, and none while one catches up.
package enum Defragmentation {
    /// A member, as it says itself.
    package struct Member: Hashable, Sendable {
        /// Its id.
        package var id: UInt64
        /// What its file takes.
        package var size: ByteCount
        /// What of it is used.
        package var used: ByteCount
        /// Whether it leads.
        package var isLeader: Bool
        /// Whether it does not vote yet.
        package var isLearner: Bool
        /// How far it has applied what was agreed on.
        package var applied: UInt64

        /// Puts the parts together.
        package init(
            id: UInt64, size: ByteCount, used: ByteCount, isLeader: Bool, isLearner: Bool, applied: UInt64
        ) {
            self.id = id
            self.size = size
            self.used = used
            self.isLeader = isLeader
            self.isLearner = isLearner
            self.applied = applied
        }

        /// Whether it is worth it.
        package func isSparse(isFull: Bool) -> Bool {
            isFull ? used.bytes * 10 < size.bytes * 9 : size > .mebibytes(64) && used.bytes * 2 < size.bytes
        }
    }

    /// A member that has applied so much less than another one catches up.
    package static let lag: UInt64 = 5000

    /// The member whose turn it is; nil for nobody's.
    ///
    /// - Parameters:
    ///   - members: All members that answer.
    ///   - count: How many there are.
    ///   - isFull: Whether there is no space, and each tenth counts; else half of more than 64 MiB has to be unused.
    package static func turn(_ members: [Member], of count: Int, isFull: Bool) -> UInt64? {
        let newest = members.map(\.applied).max() ?? 0
        // One that does not answer may be the one that works at it, or the quorum's last reserve.
        guard members.count == count, members.allSatisfy({ !$0.isLearner && $0.applied + lag >= newest }) else {
            return nil
        }
        return members.filter { $0.isSparse(isFull: isFull) }.min {
            ($0.isLeader ? 1 : 0, $0.id) < ($1.isLeader ? 1 : 0, $1.id)
        }?.id
    }
}
