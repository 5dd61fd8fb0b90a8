internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Glibc
internal import Testing

@Suite("Etcd members cut off from each other", .serialized, .timeLimit(.minutes(5)))
struct EtcdPartitionTests {
    private static let isLong = getenv("COVEY_SOAK") != nil

    /// What an agent sends again and again: it deletes a key that is never there, under a compare, and so says that
    /// most members still agreed when it was sent.
    private static let proof = Transaction(
        compares: [.exists(.incarnation)], success: [.delete("never")], failure: [])

    @Test(
        "a leader cut from its followers proves nothing; its clients, still connected, go on elsewhere, with their watches"
    )
    func isolatedLeader() async throws {
        try await withEtcdNetwork { cluster, network in
            let chaos = try await EtcdChaos(cluster, network, seed: 1)
            try await chaos.settle()
            let leader = try #require(await chaos.leader())
            let store = try await cluster.open(times: .short, first: leader)
            let alone = try await cluster.alone(leader)
            let first = try await store.currentRevision()
            let answers = try await store.watch("t/", from: first.next).makeAsyncIterator()
            _ = try await alone.transact(Self.proof)
            let others = (0..<3).filter { $0 != leader }
            try await network.cut(.between([leader], others))
            let clock = ContinuousClock()
            let cut = clock.now
            var revisions: [Revision] = []
            while revisions.isEmpty {
                do {
                    revisions.append(try await store.transact(Transaction(success: [.put("t/a", [1])])).revision)
                } catch let error as CoveyError where error.retryable {}
            }
            print("a leader was cut off: written elsewhere after \(cut.duration(to: clock.now).text)")
            revisions.append(try await store.transact(Transaction(success: [.put("t/a", [2])])).revision)
            // Whoever asks this member alone is told nothing that is not agreed on.
            let proof = await #expect(throws: CoveyError.self) { try await alone.transact(Self.proof) }
            #expect(proof?.retryable == true && proof?.remedy?.contains("most members") == true)
            let read = await #expect(throws: CoveyError.self) { try await alone.get("t/a") }
            #expect(read?.code == .unavailable && read?.remedy?.contains("most members") == true)
            _ = await #expect(throws: CoveyError.self) { try await alone.transact(Self.put("t/lost", 1)) }
            await store.health.look()
            #expect(store.health.trouble?.error.message.contains("2 of 3 members serve") == true)
            try await network.heal()
            try await eventually { try await alone.transact(Self.proof).succeeded }
            #expect(try await alone.get("t/a")?.value == [2])
            // A write that was refused there, or lost, happened once or never.
            #expect(try await alone.get("t/lost").map(\.version) ?? 1 == 1)
            var seen: [Revision] = []
            while seen.count < revisions.count, case .changes(let batch)? = try await answers.next() {
                if batch.events.contains(where: { $0.key == "t/a" }) { seen.append(batch.revision) }
            }
            // An earlier attempt of unknown outcome may stand before them.
            #expect(seen == revisions || seen.contains(revisions[0]))
            for store in [store, alone] { await store.close() }
            await chaos.close()
        }
    }

    private static func put(_ key: StoreKey, _ value: UInt8) -> Transaction {
        Transaction(success: [.put(key, [value])])
    }

    /// A partition, and who is in no majority under it. Places are given to members when it begins: the leader has
    /// the first one.
    struct Partition: Sendable, CustomStringConvertible {
        let description: String
        let cuts: Set<EtcdNetwork.Cut>
        /// Places of members that reach no majority in both ways.
        let minority: [Int]
    }

    private static let ofThree = [
        Partition(description: "one from two", cuts: .between([0], [1, 2]), minority: [0]),
        Partition(description: "one way", cuts: [EtcdNetwork.Cut(from: 0, to: 1)], minority: []),
        Partition(
            description: "heard, but hearing nobody",
            cuts: [EtcdNetwork.Cut(from: 1, to: 0), EtcdNetwork.Cut(from: 2, to: 0)], minority: [0]),
        Partition(description: "a bridge", cuts: .bridge([0, 1, 2]), minority: []),
    ]
    private static let ofFive = [
        Partition(description: "two from three", cuts: .between([0, 1], [2, 3, 4]), minority: [0, 1]),
        Partition(description: "a ring", cuts: .ring([0, 1, 2, 3, 4]), minority: []),
        Partition(description: "a bridge", cuts: .bridge([0, 1, 2, 3, 4]), minority: []),
    ]

    @Test(
        "under partitions the majority works, the minority says so, and all is well after they heal",
        arguments: isLong ? [3, 5] : [3])
    func partitions(members: Int) async throws { try await pass(members == 3 ? Self.ofThree : Self.ofFive, members) }

    private func pass(_ partitions: [Partition], _ count: Int) async throws {
        try await withEtcdNetwork(count) { cluster, network in
            let chaos = try await EtcdChaos(cluster, network, seed: 1)
            var alone: [EtcdStore] = []
            for index in 0..<count { alone.append(try await cluster.alone(index)) }
            var stores: [EtcdStore] = []
            for first in 0..<count { stores.append(try await cluster.open(times: .short, first: first)) }
            let (clients, singles) = (stores, alone)
            for (round, partition) in partitions.enumerated() {
                try await chaos.settle()
                let leader = await chaos.leader() ?? 0
                let cuts = Set(
                    partition.cuts.map {
                        EtcdNetwork.Cut(from: ($0.from + leader) % count, to: ($0.to + leader) % count)
                    })
                let minority = partition.minority.map { ($0 + leader) % count }
                var workload = StoreWorkload()
                workload.prefix = StoreKey("w/\(round)/")
                let seed = workload.seed
                let report = try await workload.run(on: clients) {
                    try await network.cut(cuts)
                    // As long as any member needs to miss its leader, and to be missed.
                    try await Task.sleep(for: .seconds(3))
                    try await eventually(within: .seconds(30)) {
                        for store in clients { _ = try await store.transact(Self.proof) }
                        return true
                    }
                    for index in minority {
                        try await expectDeaf(singles[index], "member \(index) under \(partition)")
                    }
                    try await chaos.settle()
                }
                for store in singles {
                    try await eventually { try await store.transact(Self.proof).succeeded }
                }
                print("\(count) members, \(partition), seed \(seed): \(report)")
            }
            for store in stores + alone { await store.close() }
            await chaos.close()
        }
    }

    /// A member without a majority answers nothing, with an error that says what to look at.
    private func expectDeaf(_ store: EtcdStore, _ what: String) async throws {
        // It may take a moment until it knows.
        try await eventually {
            do { _ = try await store.get(.incarnation) } catch let error as CoveyError {
                return error.code == .unavailable && error.remedy?.contains("most members") == true
            }
            return false
        }
        let write = await #expect(throws: CoveyError.self, "\(what)") { try await store.transact(Self.proof) }
        #expect(write?.code == .unavailable || write?.code == .outcomeUnknown, "\(what): \(String(describing: write))")
        #expect(write?.remedy != nil)
    }
}

extension EtcdCluster {
    /// A store that asks one member alone.
    func alone(_ index: Int) async throws -> EtcdStore {
        var address = address()
        address.endpoints = [members[index].endpoint]
        var times = EtcdTimes.short
        times.call = .seconds(2)
        var opened: EtcdStore?
        try await eventually {
            opened = try await EtcdStore.open(address, times: times)
            return true
        }
        guard let opened else { throw CoveyError(.internalError, "there is no store") }
        return opened
    }
}
