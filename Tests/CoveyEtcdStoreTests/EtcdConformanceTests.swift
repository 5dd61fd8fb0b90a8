internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Glibc
internal import Synchronization
internal import Testing

@Suite("Etcd store", .serialized, .timeLimit(.minutes(30)))
struct EtcdConformanceTests {
    private static let isLong = getenv("COVEY_SOAK") != nil
    private static let checks = StoreConformance.checks.filter { !$0.movesClock }

    /// What it is shown on.
    enum Setting: String, CaseIterable, Sendable {
        case oneMember = "one member"
        case chaos = "three members with TLS that are killed, paused and cut off"
    }

    @Test("the etcd store does what every store does", arguments: isLong ? Setting.allCases : [.oneMember])
    func conforms(on setting: Setting) async throws {
        switch setting {
        case .oneMember: try await withEtcd { cluster in try await run(Self.checks, on: cluster) }
        case .chaos: try await conformsInChaos()
        }
    }

    private func conformsInChaos() async throws {
        let seed = UInt64.random(in: .min ... .max)
        // Leaders and takers of work have a suite of their own on three members.
        let apart = Set(StoreConformance.coordination.map(\.description))
        let all = Self.checks.filter { !apart.contains($0.description) }
        var random = SeededGenerator(seed: seed)
        let checks = all.shuffled(using: &random)
        let end = ContinuousClock.now + .seconds(1500)
        let gap = Gap()
        try await withEtcdNetwork(3, secured: true) { cluster, network in
            let chaos = try await EtcdChaos(
                cluster, network, seed: seed,
                faults: [.killOne, .killLeader, .pauseOne, .pauseLeader, .isolateLeader, .split, .oneWay, .cutClients])
            let disturbing = Task {
                while true {
                    try Task.checkCancellation()
                    try await chaos.step(upTo: .seconds(1))
                    try await Task.sleep(for: gap.length)
                }
            }
            var (done, again) = (0, 0)
            for (index, check) in checks.enumerated() where ContinuousClock.now < end {
                done += 1
                do {
                    // A check that takes long never ends where faults follow each other too soon.
                    again += try await pass(check, cluster, index) { attempt in
                        gap.length = .seconds(1 + 2 * attempt)
                    }
                } catch {
                    Issue.record("\(check), seed \(seed): \(error)")
                }
            }
            disturbing.cancel()
            _ = await disturbing.result
            let faults = chaos.counts.map { "\($0.count) \($0.fault.rawValue)" }.joined(separator: ", ")
            print("conformance in chaos, seed \(seed): \(done) checks, \(again) begun again; faults: \(faults)")
            #expect(chaos.counts.count > 0 && done == all.count)
            await chaos.close()
        }
    }

    /// Runs a check until the store told of no fault during it: an attempt in which it said that it does not know, or
    /// cannot, proves nothing; one in which it said nothing of the kind has to hold. Returns how many proved nothing.
    private func pass(_ check: StoreConformance.Check, _ cluster: EtcdCluster, _ index: Int, _ begin: (Int) -> Void)
        async throws -> Int
    {
        for attempt in 0..<12 {
            begin(attempt)
            let witness = Mutex<WitnessStore?>(nil)
            // Keys with leases would be deleted during another check.
            try await eventually { try await cluster.control("del", "", "--prefix").isEmpty == false }
            do {
                try await check.run { clock, body in
                    let store = try await cluster.open("chaos/s\(index)-\(attempt)", times: .short, first: attempt % 3)
                    let told = WitnessStore(store)
                    witness.withLock { $0 = told }
                    do { try await body(told) } catch {
                        await store.close()
                        throw error
                    }
                    await store.close()
                }
                return attempt
            } catch {
                guard witness.withLock({ $0?.fault }) != nil else { throw error }
            }
        }
        throw CoveyError(.deadline, "each of 12 attempts met a fault")
    }

    private func run(_ checks: [StoreConformance.Check], on cluster: EtcdCluster) async throws {
        for (index, check) in checks.enumerated() {
            do { try await run(check, cluster, prefix: "stores/s\(index)") } catch {
                Issue.record("\(check): \(error)")
            }
            // Keys with leases would be deleted during another check.
            try await cluster.control("del", "", "--prefix")
        }
    }

    @Test("50 creations at once have addresses of their own, and no network is removed under a machine")
    func addresses() async throws {
        try await withEtcd { cluster in
            let stores = [try await cluster.open(), try await cluster.open()]
            do {
                let workload = try await AddressWorkload(stores)
                try await workload.concurrentCreations()
                try await workload.removalRaces()
            } catch {
                for store in stores { await store.close() }
                throw error
            }
            for store in stores { await store.close() }
        }
    }

    private func run(_ check: StoreConformance.Check, _ cluster: EtcdCluster, prefix: String = "covey") async throws {
        try await check.run { clock, body in
            let store = try await cluster.open(prefix)
            do { try await body(store) } catch {
                await store.close()
                throw error
            }
            await store.close()
        }
    }
}

/// How long all is well between two faults.
private final class Gap: Sendable {
    private let state = Mutex(Duration.seconds(1))

    var length: Duration {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}
