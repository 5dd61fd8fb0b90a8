internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Testing

@Suite("Etcd store", .serialized, .timeLimit(.minutes(10)))
struct EtcdConformanceTests {
    private static let checks = StoreConformance.checks.filter { !$0.movesClock }

    @Test("the etcd store does what every store does: one member")
    func conforms() async throws {
        try await withEtcd { cluster in try await run(Self.checks, on: cluster) }
    }

    @Test("the etcd store does what every store does: three members with TLS, and prefixes beside each other")
    func conformsInCluster() async throws {
        try await withEtcd(3, secured: true) { cluster in
            // Leaders and takers of work have a suite of their own on three members.
            let apart = Set(StoreConformance.coordination.map(\.description))
            try await run(Self.checks.filter { !apart.contains($0.description) }, on: cluster)
        }
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
