package import CoveyModel

/// When a member of our own is started again after its end, and what is said of it. A value without clock and I/O.
package struct MemberLife: Hashable, Sendable {
    /// How a member ended.
    package enum End: Hashable, Sendable {
        /// By itself, with a status.
        case exited(Int32)
        /// By a signal, ours or a stranger's.
        case signalled(Int32)
        /// Nobody saw how.
        case unknown
    }

    /// What is known of a member that ended.
    package struct Facts: Hashable, Sendable {
        /// How it ended.
        package var end: End
        /// How long it ran.
        package var lifetime: Duration
        /// Whether it answered meanwhile.
        package var served: Bool
        /// Whether it had other members, which may have removed it.
        package var isFollower: Bool
        /// What its file system does with a write.
        package var disk: MemberDisk

        /// Puts the facts together.
        package init(_ end: End, after lifetime: Duration, served: Bool, isFollower: Bool, disk: MemberDisk) {
            self.end = end
            self.lifetime = lifetime
            self.served = served
            self.isFollower = isFollower
            self.disk = disk
        }
    }

    /// What is to be done after an end.
    package enum Next: Hashable, Sendable {
        /// Start it again after a pause.
        case restart(after: Duration)
        /// Its data is taken for damaged: get all of it anew from the others, if they have a quorum without it.
        case replace
        /// Its cluster does without it: it is never started again.
        case removed(CoveyError)
        /// Leave it, and say why.
        case stay(CoveyError)
    }

    /// So many ends in a row, each soon after its start, and it is left.
    package static let patience = 6
    /// So many starts in a row without an answer, on a sound disk, and its data is taken for damaged.
    package static let doubt = 3
    /// A member that ran for so long is taken for one that works.
    package static let steady = Duration.seconds(60)
    /// Below so much space its end is taken for the disk's.
    package static let leastSpace = ByteCount.mebibytes(16)

    private var failures = 0
    private var silent = 0

    private let unit: Duration

    /// A member that has not failed.
    ///
    /// - Parameter unit: The pause after a first failure; each one after it is twice as long, up to 60 of it.
    package init(unit: Duration = .seconds(1)) { self.unit = unit }

    /// Says what follows an end.
    ///
    /// - Parameter place: Its folder, for people.
    package mutating func ended(_ facts: Facts, place: String) -> Next {
        if facts.end == .exited(0) && facts.isFollower {
            // A member that was removed logs so and ends well; nothing else of its own accord does.
            return .removed(Self.removal(place))
        }
        failures = facts.lifetime >= Self.steady ? 1 : failures + 1
        silent = facts.served ? 0 : silent + 1
        let pause = unit * min(60, 1 << min(failures - 1, 6))
        switch facts.disk {
        case .full:
            // It cannot write its log, and ends again until there is space: slowly, and for as long as it takes.
            silent = 0
            return .restart(after: max(pause, unit * 30))
        case .failing: return .stay(Self.trouble(facts, place: place))
        case .sound: break
        }
        if facts.isFollower && silent >= Self.doubt { return .replace }
        guard failures < Self.patience else {
            if silent >= Self.patience {
                return .stay(
                    CoveyError(
                        .corrupt,
                        "the etcd member in \(place) ended \(silent) times before it served, last \(facts.end.text): "
                            + "its data may be damaged",
                        remedy:
                            "see \(place)/etcd.log; where it says so: covey system restore --replace with the newest "
                            + "of \(place).snapshots"))
            }
            return .stay(
                CoveyError(
                    .failure,
                    "the etcd member in \(place) ended \(failures) times soon after its start, last \(facts.end.text)",
                    remedy: "see \(place)/etcd.log; a daemon that is started anew tries again"))
        }
        return .restart(after: pause)
    }

    /// What is said of a member that its cluster does without.
    static func removal(_ place: String) -> CoveyError {
        CoveyError(
            .conflict, "the etcd member in \(place) was removed from its cluster",
            remedy: "covey system uninstall keeps its data aside; the next start of the daemon joins as a new member")
    }

    /// What is said while it does not run.
    package static func trouble(_ facts: Facts, place: String) -> CoveyError {
        switch facts.disk {
        case .full:
            CoveyError(
                .exhausted, "the etcd member in \(place) ended: its disk is full",
                remedy: "free space on the file system of \(place); the member is started again by itself",
                retryable: true)
        case .failing(let how):
            CoveyError(
                .failure, "the etcd member in \(place) ended, and is left: its disk fails (\(how))",
                remedy: "see the kernel's log; repair or replace the disk, then start the daemon anew")
        case .sound:
            CoveyError(
                .unavailable, "the etcd member in \(place) ended (\(facts.end.text)) and is started again",
                remedy: "see \(place)/etcd.log where that does not end")
        }
    }
}

extension MemberLife.End {
    /// For people.
    fileprivate var text: String {
        switch self {
        case .exited(let status): "with status \(status)"
        case .signalled(let signal): "by signal \(signal)"
        case .unknown: "unseen"
        }
    }
}
