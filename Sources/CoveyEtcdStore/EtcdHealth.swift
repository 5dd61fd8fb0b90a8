package import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Synchronization

/// What is seen of an etcd's members, and what is wrong with them.
package final class EtcdHealth: Sendable {
    /// What one member said when it was looked at last.
    package struct Member: Hashable, Sendable {
        /// Where it is asked.
        package var endpoint: EtcdEndpoint
        /// Its version; nil where it did not answer.
        package var version: String?
        /// Whether it knows a leader.
        package var hasLeader: Bool
        /// Whether it leads.
        package var isLeader: Bool
        /// What its database takes.
        package var size: ByteCount
        /// What is wrong with it; nil for nothing.
        package var trouble: CoveyError?
    }

    private struct State {
        var members: [Member] = []
        var alarms: [String] = []
        /// What is wrong with the whole, and since when on the clock.
        var trouble: (error: CoveyError, since: Duration)?
    }

    private let pool: EtcdPool
    private let state = Mutex(State())

    init(_ pool: EtcdPool) { self.pool = pool }

    /// The members as they were seen last, in the order of the address; empty before the first look.
    package var members: [Member] { state.withLock { $0.members } }

    /// What is wrong with the store, and for how long; nil where nothing is.
    package var trouble: (error: CoveyError, lasting: Duration)? {
        let now = pool.clock.elapsed()
        return state.withLock { $0.trouble.map { ($0.error, now - $0.since) } }
    }

    /// Looks at the members again and again, until it is cancelled.
    func run() async throws {
        while true {
            await pool.renewCredentials()
            await look()
            try await pool.clock.sleep(pool.clock.elapsed() + pool.times.look)
        }
    }

    /// Looks at all members at once.
    package func look() async {
        let known = pool.active
        let members = await withTaskGroup(of: (Int, Member).self) { group in
            for index in known {
                group.addTask { [self] in (index, await member(index)) }
            }
            return await group.reduce(into: [Int: Member]()) { $0[$1.0] = $1.1 }
        }
        let seen = known.compactMap { members[$0] }
        let alarms = await alarms(seen)
        let now = pool.clock.elapsed()
        state.withLock { state in
            state.members = seen
            state.alarms = alarms
            let error = EtcdHealth.judge(pool.address, seen, alarms)
            state.trouble = error.map { ($0, state.trouble?.since ?? now) }
        }
    }

    private func member(_ index: Int) async -> Member {
        let endpoint = pool.address.endpoints[index]
        var member = Member(endpoint: endpoint, hasLeader: false, isLeader: false, size: ByteCount(0))
        do {
            let status = try await pool.connection(.looks, index).call(
                .status, Etcdserverpb_StatusRequest(), within: pool.times.read, needsLeader: false)
            member.version = status.version
            member.hasLeader = status.leader != 0
            member.isLeader = status.leader != 0 && status.leader == status.header.memberID
            member.size = ByteCount(max(0, status.dbSize))
            if !pool.isOurs(status.header) {
                member.trouble = CoveyError(
                    .invalid, "the etcd at \(endpoint) belongs to another cluster",
                    remedy: "name members of one cluster only")
            } else if !member.hasLeader {
                member.trouble = CoveyError(
                    .unavailable, "the etcd at \(endpoint) knows no leader",
                    remedy: "see that most members run and reach each other")
            } else if status.isLearner {
                member.trouble = CoveyError(
                    .unavailable, "the etcd at \(endpoint) is a learner, which answers nothing",
                    remedy: "promote it, or name others")
            }
        } catch let failure as EtcdFailure {
            switch failure.verdict(.repeatable) {
            case .elsewhere(let error), .final(let error), .outOfRange(let error), .noSpace(let error):
                member.trouble = await pool.explained(error)
            }
        } catch { member.trouble = CoveyError.wrapping(error) }
        return member
    }

    private func alarms(_ members: [Member]) async -> [String] {
        guard let index = members.firstIndex(where: { $0.trouble == nil }) else { return [] }
        do {
            let response = try await pool.connection(.looks, index).call(
                .alarm, Etcdserverpb_AlarmRequest(), within: pool.times.read)
            return response.alarms.map { alarm in
                switch alarm.alarm {
                case .nospace: "NOSPACE"
                case .corrupt: "CORRUPT"
                case .none: "NONE"
                case .UNRECOGNIZED(let number): "number \(number)"
                }
            }
        } catch {
            // The members themselves tell more.
            return []
        }
    }

    /// What is wrong, the worst first.
    static func judge(_ address: EtcdAddress, _ members: [Member], _ alarms: [String]) -> CoveyError? {
        if alarms.contains("CORRUPT") {
            return CoveyError(
                .corrupt, "\(address): a member is corrupt (alarm CORRUPT)",
                remedy: "see `etcdctl alarm list`, replace the damaged member, or restore a snapshot")
        }
        if alarms.contains("NOSPACE") {
            return CoveyError(
                .exhausted, "\(address): the database has no space (alarm NOSPACE); what is stored can be read",
                remedy: "compact and defragment it, or raise --quota-backend-bytes, then `etcdctl alarm disarm`",
                retryable: true)
        }
        let ill = members.filter { $0.trouble != nil }
        guard let first = ill.first?.trouble else { return nil }
        let counts = "\(members.count - ill.count) of \(members.count) members serve"
        return CoveyError(
            first.code, "\(address): \(counts); \(ill.compactMap(\.trouble?.message).joined(separator: "; "))",
            remedy: first.remedy)
    }
}
