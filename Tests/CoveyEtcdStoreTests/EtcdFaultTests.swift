internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyTesting
internal import Testing

@Suite("Etcd store under faults", .serialized, .timeLimit(.minutes(45)))
struct EtcdFaultTests {
    /// Short waits, where the test is about their end.
    private static func short(_ change: (inout EtcdTimes) -> Void = { _ in }) -> EtcdTimes {
        var times = EtcdTimes.short
        change(&times)
        return times
    }

    @Test("a write to a member that stands still is of unknown outcome, and happens once or not at all")
    func unknownOutcome() async throws {
        try await withEtcd { cluster in
            let store = try await cluster.open(times: Self.short())
            let before = try await store.currentRevision()
            try cluster.members[0].pause()
            let put = Transaction(success: [.put("t/a", [1])])
            let error = await #expect(throws: CoveyError.self) { try await store.transact(put) }
            #expect(error?.code == .outcomeUnknown && error?.remedy != nil)
            let read = await #expect(throws: CoveyError.self) { try await store.get("t/a") }
            #expect(read?.code == .unavailable && read?.remedy != nil)
            try cluster.members[0].resume()
            // It waits in the member's socket, with the word that nobody wants it any more.
            var after = before
            try await eventually {
                after = try await store.currentRevision()
                return true
            }
            let entry = try await store.get("t/a")
            #expect(entry == nil || entry?.version == 1)
            #expect(after == before || after == before.next)
            await store.close()
        }
    }

    @Test("a write that finds no member at all has surely not happened")
    func unreachable() async throws {
        try await withEtcd { cluster in
            let store = try await cluster.open(times: Self.short { $0.call = .seconds(2) })
            try await cluster.members[0].kill()
            // What was under way when the connection broke is not this write.
            let put = Transaction(success: [.put("t/a", [1])])
            let error = await #expect(throws: CoveyError.self) { try await store.transact(put) }
            #expect(error?.code == .unavailable || error?.code == .outcomeUnknown)
            let second = await #expect(throws: CoveyError.self) { try await store.transact(put) }
            #expect(second?.code == .unavailable && second?.remedy != nil, "\(String(describing: second))")
            try cluster.members[0].start()
            try await eventually { try await store.get("t/a") == nil }
            let opened = await #expect(throws: CoveyError.self) {
                try await EtcdStore.open(
                    EtcdAddress(endpoints: [EtcdEndpoint(host: "127.0.0.1", port: try freePorts(1)[0])]),
                    times: Self.short { $0.call = .seconds(1) })
            }
            #expect(opened?.code == .unavailable && opened?.remedy != nil)
            await store.close()
        }
    }

    @Test("a watch on a member that says nothing any more goes on at another, and no event is lost or doubled")
    func silence() async throws {
        try await withEtcd(3) { cluster in
            let writer = try await cluster.open(times: Self.short())
            for paused in 0..<3 {
                // The watch's own store asks the member first that will stand still.
                var address = cluster.address()
                address.endpoints.swapAt(0, paused)
                let store = try await EtcdStore.open(address, times: Self.short())
                let key = StoreKey("t/\(paused)")
                let answers = try await store.watch("t/", from: nil).makeAsyncIterator()
                var revisions = [try await writer.settledPut(key, "1")]
                var seen = [try await answers.next()?.revision]
                try cluster.members[paused].pause()
                for value in 2...4 { revisions.append(try await writer.settledPut(key, "\(value)")) }
                for _ in 2...4 { seen.append(try await answers.next()?.revision) }
                #expect(seen == revisions)
                try cluster.members[paused].resume()
                await store.close()
            }
            await writer.close()
        }
    }

    @Test("a watch that comes back after a compaction of what it missed says so, at the right revision")
    func compactedWatch() async throws {
        try await withEtcd { cluster in
            let store = try await cluster.open(times: Self.short())
            let first = try await store.settledPut("t/a", "1")
            let answers = try await store.watch("t/", from: first).makeAsyncIterator()
            #expect(try await answers.next()?.revision == first)
            try await cluster.members[0].kill()
            try cluster.members[0].start()
            let other = try await cluster.open()
            for value in 2...5 { _ = try await other.settledPut("t/a", "\(value)") }
            let newest = try await other.currentRevision()
            try await other.compact(newest)
            #expect(try await answers.next() == .compacted(newest))
            #expect(try await answers.next() == nil)
            // A watch that would begin with the compacted revision itself may have lost it.
            let edge = try await store.watch("t/", from: newest).makeAsyncIterator()
            #expect(try await edge.next() == .compacted(newest))
            await other.close()
            await store.close()
        }
    }

    @Test("a watch asks its reader to list again at intervals")
    func relist() async throws {
        try await withEtcd { cluster in
            let store = try await cluster.open(times: Self.short { $0.relist = .milliseconds(300) })
            let answers = try await store.watch("t/", from: nil).makeAsyncIterator()
            let now = try await store.currentRevision()
            try await Task.sleep(for: .milliseconds(400))
            #expect(try await answers.next() == .compacted(now))
            await store.close()
        }
    }

    @Test("watches and their streams are gone when nobody reads them any more")
    func released() async throws {
        try await withEtcd { cluster in
            let store = try await cluster.open()
            var readers: [Task<WatchAnswer?, any Error>] = []
            for index in 0..<20 {
                let answers = try await store.watch("t/\(index)", from: nil).makeAsyncIterator()
                readers.append(Task { try await answers.next() })
            }
            let metric = "etcd_debugging_mvcc_watcher_total"
            try await eventually { try await cluster.metric(metric) == 20 }
            for reader in readers { reader.cancel() }
            for reader in readers {
                await #expect(throws: CancellationError.self) { try await reader.value }
            }
            try await eventually { try await cluster.metric(metric) == 0 }
            await store.close()
        }
    }

    @Test("a database without space fails writes as exhausted with a remedy, is read on, and is written again later")
    func noSpace() async throws {
        try await withEtcd(arguments: ["--quota-backend-bytes", "4194304"]) { cluster in
            let store = try await cluster.open()
            let value = [UInt8](repeating: 7, count: 200_000)
            var failures: [CoveyError] = []
            for index in 0..<200 where failures.last?.code != .exhausted {
                do {
                    _ = try await store.transact(Transaction(success: [.put("t/\(index % 3)", value)]))
                } catch let error as CoveyError { failures.append(error) }
            }
            #expect(failures.last?.code == .exhausted && failures.last?.remedy != nil, "\(failures)")
            // A write may have been the last that found room, before the alarm was seen.
            #expect(failures.dropLast().allSatisfy { $0.code == .outcomeUnknown })
            #expect(try await store.list("t/").entries.count == 3)
            await store.health.look()
            #expect(store.health.trouble?.error.code == .exhausted)
            // Heartbeats are deletions of what is not there: they need no space.
            let proof = Transaction(compares: [.exists(.incarnation)], success: [.delete("never")])
            #expect(try await store.transact(proof).succeeded)
            try await store.compact(try await store.currentRevision())
            try await cluster.control("defrag")
            try await cluster.control("alarm", "disarm")
            _ = try await store.transact(Transaction(success: [.put("t/again", [1])]))
            await store.health.look()
            #expect(store.health.trouble == nil)
            await store.close()
        }
    }

    @Test("members are trusted by their certificate, and ask for ours")
    func certificates() async throws {
        try await withEtcd(secured: true) { cluster in
            try await cluster.open().close()
            let times = Self.short { $0.call = .seconds(2) }
            var address = cluster.address()
            address.tls?.authorities = "\(cluster.folder)/other.pem"
            let foreign = await #expect(throws: CoveyError.self) { try await EtcdStore.open(address, times: times) }
            #expect(foreign?.code == .unavailable && foreign?.remedy?.contains("certificates") == true)
            address = cluster.address()
            address.tls?.certificate = nil
            address.tls?.key = nil
            let nameless = await #expect(throws: CoveyError.self) { try await EtcdStore.open(address, times: times) }
            #expect(nameless?.code == .unavailable, "\(String(describing: nameless))")
            address.tls?.certificate = "\(cluster.folder)/stranger.pem"
            address.tls?.key = "\(cluster.folder)/stranger.key"
            let stranger = await #expect(throws: CoveyError.self) { try await EtcdStore.open(address, times: times) }
            #expect(stranger?.code == .unavailable)
            address.tls?.key = "\(cluster.folder)/none.key"
            let missing = await #expect(throws: CoveyError.self) { try await EtcdStore.open(address, times: times) }
            #expect(missing?.code == .invalid && missing?.remedy != nil)
        }
    }

    @Test("what is wrong with which member is told")
    func health() async throws {
        try await withEtcd(3) { cluster in
            let store = try await cluster.open(times: Self.short())
            try await eventually {
                await store.health.look()
                return store.health.trouble == nil
            }
            #expect(store.health.members.allSatisfy { $0.version == "3.4.23" || $0.version?.hasPrefix("3.") == true })
            #expect(store.health.members.filter(\.isLeader).count == 1)
            try await cluster.members[1].kill()
            await store.health.look()
            let one = store.health.trouble?.error
            #expect(one?.message.contains("2 of 3 members serve") == true, "\(String(describing: one))")
            #expect(one?.message.contains("\(cluster.members[1].endpoint)") == true && one?.remedy != nil)
            try await cluster.members[2].kill()
            try await eventually {
                await store.health.look()
                return store.health.trouble?.error.message.contains("knows no leader") == true
            }
            let read = await #expect(throws: CoveyError.self) { try await store.get("t/a") }
            #expect(read?.code == .unavailable)
            await store.close()
        }
    }

    @Test("a prefix with other keys is no store, and a member of another cluster is not written through")
    func foreign() async throws {
        try await withEtcd { cluster in
            try await eventually { try await cluster.control("put", "other/key", "x").contains("OK") }
            let error = await #expect(throws: CoveyError.self) { try await EtcdStore.open(cluster.address("other")) }
            #expect(error?.code == .corrupt && error?.remedy != nil)
            try await withEtcd { second in
                try await second.open().close()
                try await cluster.open().close()
                var address = cluster.address()
                address.endpoints += second.address().endpoints
                let store = try await EtcdStore.open(address, times: Self.short { $0.call = .seconds(2) })
                await store.health.look()
                #expect(store.health.trouble?.error.message.contains("another cluster") == true)
                try await cluster.members[0].kill()
                for _ in 0..<2 {
                    _ = await #expect(throws: CoveyError.self) {
                        try await store.transact(Transaction(success: [.put("t/a", [1])]))
                    }
                }
                let other = try await second.open()
                #expect(try await other.get("t/a") == nil)
                await other.close()
                await store.close()
            }
        }
    }
}

extension WatchAnswer {
    /// The revision of its changes; nil for a compaction.
    var revision: Revision? {
        switch self {
        case .changes(let batch): batch.revision
        case .compacted: nil
        }
    }
}

extension EtcdStore {
    /// Writes a value that was not there, however often that takes; gives its revision.
    func settledPut(_ key: StoreKey, _ value: String) async throws -> Revision {
        let bytes = Array(value.utf8)
        var written: Revision?
        try await eventually {
            if let entry = try await get(key), entry.value == bytes {
                written = entry.modRevision
                return true
            }
            written = try await transact(Transaction(success: [.put(key, bytes)])).revision
            return true
        }
        return written ?? .zero
    }
}

extension EtcdCluster {
    /// A number that the first member counts.
    func metric(_ name: String) async throws -> Int {
        let scheme = tls == nil ? "http" : "https"
        let text = try await tool("curl", ["-s", "\(scheme)://\(members[0].endpoint)/metrics"])
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
        return line.flatMap { Int($0.split(separator: " ")[1]) } ?? -1
    }
}

/// Waits until something holds; what cannot be asked now is asked again.
func eventually(within limit: Duration = .seconds(60), _ holds: () async throws -> Bool) async throws {
    let clock = ContinuousClock()
    let start = clock.now
    while true {
        do { if try await holds() { return } } catch let error as CoveyError
            where start.duration(to: clock.now) < limit && (error.retryable || error.code == .failure)
        {}
        guard start.duration(to: clock.now) < limit else {
            throw CoveyError(.deadline, "it did not come to hold within \(limit.text)")
        }
        try await Task.sleep(for: .milliseconds(30))
    }
}
