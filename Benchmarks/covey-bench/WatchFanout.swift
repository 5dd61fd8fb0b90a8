internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Synchronization

/// One write that many watchers of its key hear of: the call of the write to the last one's event.
struct WatchFanout {
    /// `etcd://…`, or a folder for SQLite.
    let place: String
    let watchers: Int
    let rounds: Int

    /// Seconds of each round: `ours` and `ours-commit` (from the write's answer on), and for etcd `bare`: as many streams
    /// of the generated client on one connection.
    func run() async throws -> [String: [Double]] {
        var result = try await ours()
        if place.hasPrefix("etcd://") { result["bare"] = try await bare() }
        return result
    }

    private func ours() async throws -> [String: [Double]] {
        let store = try await StoreWork.open(place)
        let bell = Bell(every: watchers)
        let first = try await store.currentRevision().next
        let following = Task {
            try await withThrowingDiscardingTaskGroup { group in
                for _ in 0..<watchers {
                    group.addTask {
                        for try await answer in try await store.watch("fan/key", from: first) {
                            if case .changes = answer { bell.ring() }
                        }
                    }
                }
            }
        }
        let work = Task { try await store.run() }
        defer {
            following.cancel()
            work.cancel()
        }
        let put = Transaction(success: [.put("fan/key", StoreWork.value)])
        var (whole, commit): ([Double], [Double]) = ([], [])
        // The first ones find watches that are only being made.
        for round in 0..<rounds + 3 {
            let clock = ContinuousClock()
            let start = clock.now
            _ = try await store.transact(put)
            let committed = clock.now
            let end = try await bell.wait()
            guard round >= 3 else { continue }
            whole.append(Self.seconds(start.duration(to: end)))
            commit.append(max(0, Self.seconds(committed.duration(to: end))))
        }
        return ["ours": whole, "ours-commit": commit]
    }

    private func bare() async throws -> [Double] {
        let client = try await BareEtcd(place)
        try await client.put("fan/key", StoreWork.value)
        let revision = try await client.get("fan/key") + 1
        let bell = Bell(every: watchers)
        let following = Task {
            try await withThrowingDiscardingTaskGroup { group in
                for _ in 0..<watchers {
                    group.addTask { try await client.watch("fan/key", from: revision) { bell.ring() } }
                }
            }
        }
        var times: [Double] = []
        for round in 0..<rounds + 3 {
            let start = ContinuousClock.now
            try await client.put("fan/key", StoreWork.value)
            let end = try await bell.wait()
            if round >= 3 { times.append(Self.seconds(start.duration(to: end))) }
        }
        following.cancel()
        try await client.close()
        return times
    }

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    }
}

/// Tells when so many have rung.
private final class Bell: Sendable {
    private let count = Mutex(0)
    private let every: Int
    private let (times, post) = AsyncStream<ContinuousClock.Instant>.makeStream()

    init(every: Int) { self.every = every }

    func ring() {
        let isLast = count.withLock { count in
            count += 1
            return count.isMultiple(of: every)
        }
        if isLast { post.yield(.now) }
    }

    /// When the last one rang.
    func wait() async throws -> ContinuousClock.Instant {
        try await withDeadline(.seconds(60), "the last watcher's event") { [times] in
            for await time in times { return time }
            throw CancellationError()
        }
    }
}
