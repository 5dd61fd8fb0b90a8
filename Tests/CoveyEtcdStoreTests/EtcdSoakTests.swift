internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Glibc
internal import Testing

@Suite("Etcd store in chaos", .serialized, .timeLimit(.minutes(60)))
struct EtcdSoakTests {
    private static let isLong = getenv("COVEY_SOAK") != nil

    @Test(
        "calls stay linearizable and watches whole while members are killed, paused, cut off from each other and slow",
        arguments: isLong ? [3, 5] : [3])
    func chaos(members: Int) async throws {
        // Three have TLS.
        let time: Duration = Self.isLong ? .seconds(members == 3 ? 1200 : 600) : .seconds(20)
        try await soak(members, secured: members == 3, for: time, named: "\(members) members")
    }

    /// Histories in segments, so that each stays small enough to be checked: faults by the seed while calls go on, then
    /// all is healed, and what clients, watch and store say is compared.
    private func soak(_ count: Int, secured: Bool, for time: Duration, named name: String) async throws {
        let seed = UInt64.random(in: .min ... .max)
        print("chaos, \(name): seed \(seed)")
        try await withEtcdNetwork(count, secured: secured) { cluster, network in
            let clock = ContinuousClock()
            let end = clock.now + time
            let chaos = try await EtcdChaos(cluster, network, seed: seed)
            var total = WorkloadReport()
            var segments = 0
            while clock.now < end {
                var workload = StoreWorkload(seed: seed &+ UInt64(segments))
                workload.prefix = StoreKey("w/\(segments)/")
                // Each begins with another member, so that whichever suffers, somebody's answers are lost.
                var stores: [EtcdStore] = []
                for first in 0..<count { stores.append(try await cluster.open(times: .short, first: first)) }
                let clients = stores
                let segment = segments
                let longest: Duration = Self.isLong && segment % 10 == 9 ? .seconds(20) : .seconds(4)
                let steps = Self.isLong && segment % 10 == 9 ? 2 : 5
                let report = try await workload.run(on: clients) {
                    for _ in 0..<steps {
                        try await chaos.step(upTo: longest)
                        // They catch up, or not quite, before the next fault.
                        try await Task.sleep(for: .milliseconds(200 * (1 + segment % 6)))
                    }
                    try await chaos.settle()
                }
                for store in stores { await store.close() }
                print("chaos, \(name), segment \(segment): \(report)")
                total += report
                segments += 1
            }
            await chaos.close()
            let faults = chaos.counts.map { "\($0.count) \($0.fault.rawValue)" }.joined(separator: ", ")
            print("chaos, \(name), seed \(seed), \(segments) histories checked: \(total); faults: \(faults)")
            #expect(total.calls > 0 && total.writes > 0 && segments > 0)
        }
    }
}
