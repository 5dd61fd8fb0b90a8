internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Glibc
internal import Testing

@Suite("Coordination on etcd", .serialized, .timeLimit(.minutes(45)))
struct EtcdCoordinationTests {
    private static let rounds = getenv("COVEY_SOAK") == nil ? 1 : 20

    /// Stores that begin with another member each.
    private func stores(_ cluster: EtcdCluster) async throws -> [EtcdStore] {
        var times = EtcdTimes()
        times.read = .seconds(2)
        times.write = .seconds(2)
        times.call = .seconds(5)
        times.silence = .seconds(1)
        times.sign = .seconds(1)
        var stores: [EtcdStore] = []
        for first in 0..<3 { stores.append(try await cluster.open(times: times, first: first)) }
        return stores
    }

    /// Kills and pauses a member at a time.
    private func disturb(_ cluster: EtcdCluster, _ seed: UInt64, _ times: Int) async throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<times {
            let member = cluster.members[Int.random(in: 0..<3, using: &random)]
            let pause = Duration.milliseconds(Int.random(in: 200...2500, using: &random))
            if Bool.random(using: &random) {
                try await member.kill()
                try await Task.sleep(for: pause)
                try member.start()
            } else {
                try member.pause()
                try await Task.sleep(for: pause)
                try member.resume()
            }
            try await Task.sleep(for: .milliseconds(Int.random(in: 300...1200, using: &random)))
        }
    }

    @Test("nobody writes as leader who is none, while members are killed and paused and leaders deposed")
    func election() async throws {
        try await withEtcd(3) { cluster in
            for round in 0..<Self.rounds {
                let stores = try await stores(cluster)
                var workload = ElectionWorkload()
                workload.name = "e\(round)"
                let seed = workload.seed
                let report = try await workload.run(on: stores) { try await disturb(cluster, seed, 4) }
                print("election \(round), seed \(seed): \(report)")
                for store in stores { await store.close() }
            }
        }
    }

    @Test("all work is finished once while members are killed and paused and takers lost")
    func queue() async throws {
        try await withEtcd(3) { cluster in
            for round in 0..<Self.rounds {
                let stores = try await stores(cluster)
                var workload = QueueWorkload()
                workload.name = "q\(round)"
                workload.pieces = 150
                let seed = workload.seed
                let report = try await workload.run(on: stores) { try await disturb(cluster, seed, 4) }
                print("queue \(round), seed \(seed): \(report)")
                for store in stores { await store.close() }
            }
        }
    }
}
