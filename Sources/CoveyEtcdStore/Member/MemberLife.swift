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

    /// What is to be done after an end.
    package enum Next: Hashable, Sendable {
        /// Start it again after a pause.
        case restart(after: Duration)
        /// Leave it, and say why.
        case stay(CoveyError)
    }

    /// So many ends in a row, each soon after its start, and it is left.
    package static let patience = 6
    /// A member that ran for so long is taken for one that works.
    package static let steady = Duration.seconds(60)
    /// Below so much space its end is taken for the disk's.
    package static let leastSpace = ByteCount.mebibytes(16)

    private var failures = 0

    /// A member that has not failed.
    package init() {}

    /// Says what follows an end.
    ///
    /// - Parameters:
    ///   - end: How it ended.
    ///   - lifetime: How long it ran.
    ///   - isFollower: Whether it had other members, which may have removed it.
    ///   - free: The space that its file system has left; nil where nobody knows.
    ///   - place: Its folder, for people.
    package mutating func ended(
        _ end: End, after lifetime: Duration, isFollower: Bool, free: ByteCount?, place: String
    ) -> Next {
        if end == .exited(0) && isFollower {
            // A member that was removed logs so and ends well; nothing else of its own accord does.
            return .stay(
                CoveyError(
                    .conflict, "the etcd member in \(place) was removed from its cluster",
                    remedy: "move its folder away; as a new member it joins again"))
        }
        failures = lifetime >= Self.steady ? 1 : failures + 1
        let pause = Duration.seconds(min(60, 1 << min(failures - 1, 6)))
        if let free, free < Self.leastSpace {
            // It cannot write its log, and ends again until there is space: slowly, and for as long as it takes.
            return .restart(after: max(pause, .seconds(30)))
        }
        guard failures < Self.patience else {
            return .stay(
                CoveyError(
                    .failure,
                    "the etcd member in \(place) ended \(failures) times soon after its start, last \(end.text)",
                    remedy: "see \(place)/etcd.log; a daemon that is started anew tries again"))
        }
        return .restart(after: pause)
    }

    /// What is said while it does not run.
    package static func trouble(_ end: End, free: ByteCount?, place: String) -> CoveyError {
        if let free, free < leastSpace {
            return CoveyError(
                .exhausted, "the etcd member in \(place) ended: its disk is full",
                remedy: "free space on the file system of \(place); the member is started again by itself",
                retryable: true)
        }
        return CoveyError(
            .unavailable, "the etcd member in \(place) ended (\(end.text)) and is started again",
            remedy: "see \(place)/etcd.log where that does not end")
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
