internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyTesting
internal import Glibc
internal import Logging
internal import Synchronization
internal import Testing

@testable internal import CoveyDaemon

@Suite("Outages of etcd", .serialized, .timeLimit(.minutes(10)))
struct EtcdOutageTests {
    private static let isLong = getenv("COVEY_SOAK") != nil

    @Test("after the leader is killed writes are back within 3 s, and none that was acknowledged is lost")
    func leaderKilled() async throws {
        try await withEtcd(3) { cluster in
            let clock = ContinuousClock()
            let store = try await cluster.open()
            var acknowledged: [Revision] = []
            var gaps: [Duration] = []
            for round in 0..<3 {
                let leader = try await cluster.leader(store)
                for value in 0..<20 {
                    acknowledged.append(try await store.transact(put("t/\(round)-\(value)")).revision)
                }
                try await cluster.members[leader].kill()
                let start = clock.now
                var lost = 0
                while acknowledged.count < 20 * (round + 1) + round + 1 {
                    do {
                        acknowledged.append(try await store.transact(put("t/\(round)-again")).revision)
                    } catch let error as CoveyError where error.retryable { lost += 1 }
                }
                gaps.append(start.duration(to: clock.now))
                print("the leader was killed: written again after \(gaps[round].text), \(lost) answers lost before")
                try cluster.members[leader].start()
                try await cluster.settle(store)
            }
            #expect(try await store.list("t/").entries.count == 63)
            #expect(acknowledged == acknowledged.sorted() && Set(acknowledged).count == acknowledged.count)
            // A busy host may delay an election; it does not delay each one.
            #expect(gaps.contains { $0 <= .seconds(3) }, "\(gaps)")
            await store.close()
        }
    }

    @Test("a leader that stood still, for 20 s as well in the long run, has accepted nothing that was not agreed on")
    func leaderPaused() async throws {
        try await withEtcd(3) { cluster in
            let store = try await cluster.open(times: .short)
            for pause in Self.isLong ? [2, 5, 20] : [2, 5] {
                let key = StoreKey("t/\(pause)")
                let leader = try await cluster.leader(store)
                let alone = try await cluster.alone(leader)
                _ = try await store.transact(put(key))
                try cluster.members[leader].pause()
                let end = ContinuousClock.now + .seconds(pause)
                // It lies in the sleeper's socket, and is older than what is agreed on meanwhile.
                async let stale: Void = expectLost(alone, key)
                var last: Revision?
                while last == nil || ContinuousClock.now < end {
                    do {
                        last = try await store.transact(
                            Transaction(compares: [.exists(key)], success: [.put(key, Array("new".utf8))])
                        ).revision
                    } catch let error as CoveyError where error.retryable {}
                    try await Task.sleep(for: .milliseconds(50))
                }
                try cluster.members[leader].resume()
                try await stale
                try await cluster.settle(store)
                // A later one whose answer was lost may have come in, too.
                try await eventually { try await (alone.get(key)?.modRevision ?? .zero) >= (last ?? .zero) }
                #expect(try await store.get(key)?.value == Array("new".utf8))
                await alone.close()
            }
            await store.close()
        }
    }

    /// Writes where the first value still stands, through a member that stands still: it must never be told as done.
    private func expectLost(_ store: EtcdStore, _ key: StoreKey) async throws {
        let first = try await retried { try await put(key, expecting: "1", store) }
        #expect(first != true, "a member that stood still has written")
    }

    private func put(_ key: StoreKey, expecting value: String, _ store: EtcdStore) async throws -> Bool {
        try await store.transact(
            Transaction(compares: [.value(key, Array(value.utf8))], success: [.put(key, Array("stale".utf8))])
        ).succeeded
    }

    /// Nil where the outcome is unknown, or nobody was reached.
    private func retried(_ body: () async throws -> Bool) async throws -> Bool? {
        do { return try await body() } catch let error as CoveyError where error.retryable { return nil }
    }

    @Test(
        "a watch whose connection is dead, though nothing closed it, goes on over another one, without loss or doubles")
    func blackHole() async throws {
        try await withEtcd { cluster in
            let reactor = try Reactor()
            defer { reactor.shutdown() }
            let member = cluster.members[0].endpoint
            let relay = try Relay(
                to: SocketEndpoint(.v4(IPv4Address(bits: 0x7F00_0001)), port: UInt16(member.port)), reactor: reactor)
            let writer = try await cluster.open()
            var address = cluster.address()
            address.endpoints = [relay.endpoint]
            let store = try await EtcdStore.open(address, times: .short)
            let answers = try await store.watch("t/", from: nil).makeAsyncIterator()
            var written = [try await writer.settledPut("t/a", "0")]
            var seen = [try await answers.next()?.revision]
            for round in 1...2 {
                relay.muteOpen()
                for value in 0..<3 { written.append(try await writer.settledPut("t/a", "\(round) \(value)")) }
                let start = ContinuousClock.now
                for _ in 0..<3 { seen.append(try await answers.next()?.revision) }
                // Silence, no sign, and a new connection: far less than it takes HTTP/2 to notice.
                print("a watch's connection was dead: it went on after \(start.duration(to: .now).text)")
                #expect(start.duration(to: .now) < .seconds(15))
            }
            #expect(seen == written)
            try await eventually { try await store.get("t/a") != nil }
            await store.close()
            await writer.close()
            await relay.close()
        }
    }

    @Test("a reader that takes nothing while 10,000 objects are written holds none of them here, and nobody else up")
    func slowReader() async throws {
        try await withEtcd(arguments: ["--quota-backend-bytes", "1073741824"]) { cluster in
            let store = try await cluster.open()
            let first = try await store.transact(put("t/begin")).revision
            let slow = try await store.watch("t/", from: first).makeAsyncIterator()
            let quick = try await store.watch("t/", from: first).makeAsyncIterator()
            #expect(try await slow.next() != nil)
            #expect(try await quick.next() != nil)
            let value = [UInt8](repeating: 7, count: 10_000)
            let (objects, each) = (10_000, 100)
            let before = try residentBytes()
            var most = before
            var latest = Duration.zero
            for start in stride(from: 0, to: objects, by: each) {
                let writes = (start..<start + each).map { StoreOperation.put(StoreKey("t/\($0)"), value) }
                let revision = try await store.transact(Transaction(success: writes)).revision
                let asked = ContinuousClock.now
                guard case .changes(let batch)? = try await quick.next() else {
                    return #expect(Bool(false), "the other watch ended")
                }
                #expect(batch.revision == revision && batch.events.count == each)
                latest = max(latest, asked.duration(to: .now))
                most = max(most, try residentBytes())
            }
            let growth = (most - before) / 1_048_576
            print("a slow reader of 100 MB: \(growth) MiB more at most; the other watch waited \(latest.text) at most")
            #expect(growth < 60)
            #expect(latest < .seconds(10))
            var seen = 0
            while seen < objects, case .changes(let batch)? = try await slow.next() {
                for case .put(let entry) in batch.events {
                    #expect(entry.key == StoreKey("t/\(seen)"))
                    seen += 1
                }
            }
            #expect(seen == objects)
            await store.close()
        }
    }

    /// What this process has in memory.
    private func residentBytes() throws -> Int {
        let pages = try readText("/proc/self/statm").split(separator: " ")[1]
        return (Int(pages) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    @Test("a machine whose creation was answered into the void is there once, however often it is asked for again")
    func lostAnswer() async throws {
        try await withEtcd { cluster in
            let reactor = try Reactor()
            defer { reactor.shutdown() }
            let relay = try Relay(
                to: SocketEndpoint(
                    .v4(IPv4Address(bits: 0x7F00_0001)), port: UInt16(cluster.members[0].endpoint.port)),
                reactor: reactor)
            var address = cluster.address()
            try await cluster.open().close()
            address.endpoints = [relay.endpoint]
            let store = try await EtcdStore.open(address, times: .short)
            let now: @Sendable () -> Timestamp = { Timestamp(milliseconds: 1_700_000_000_000) }
            let ids = IdentifierSource(time: now)
            let repositories = try await Repositories.open(store, ids: ids, now: now)
            let node: NodeID = ids.next()
            let create: @Sendable () async throws -> VirtualMachine = {
                try await repositories.machines.create(
                    .standard, name: "web", spec: MachineSpec(image: "debian"), node: node, requestID: "request"
                ).machine
            }
            let before = try await store.currentRevision()
            // What is asked arrives, what is answered does not.
            relay.silence([.toClient])
            let failure = await #expect(throws: CoveyError.self) { try await create() }
            #expect(failure?.retryable == true)
            relay.sever()
            relay.silence([])
            var made: [VirtualMachine] = []
            try await eventually {
                made.append(try await create())
                return true
            }
            made.append(try await create())
            #expect(made[0].metadata.id == made[1].metadata.id)
            #expect(try await repositories.machines.list().items.map(\.metadata.name) == ["web"])
            #expect(try await store.get("never") == nil)
            #expect(try await store.currentRevision() > before)
            await store.close()
            await relay.close()
        }
    }

    @Test("who opens a store while its etcd is down waits and says why, and goes on when it comes")
    func waits() async throws {
        let folder = "/tmp/cvy-etcd-w-\(UInt64.random(in: .min ... .max))"
        try makeFolder(folder)
        let outcome: Result<Void, any Error>
        do {
            try await withEtcd { cluster in
                // Its data is there; the member is not.
                try await cluster.open().close()
                try await cluster.members[0].kill()
                let heard = Heard()
                let opening = Task {
                    try await StateStore.open(
                        "\(cluster.address())", folder: folder, logger: Logger(label: "t") { _ in heard })
                }
                try await eventually { heard.lines.count == 1 }
                #expect(heard.lines.first?.contains("\(cluster.members[0].endpoint) cannot be reached") == true)
                #expect(heard.lines.first?.contains("seconds left") == true)
                try cluster.members[0].start()
                let state = try await opening.value
                #expect(try await state.store.get("t/none") == nil)
                #expect(state.conditions(Timestamp(milliseconds: 0)).map(\.reason) == ["Open"])
                try await state.close()
            }
            outcome = .success(())
        } catch { outcome = .failure(error) }
        try removeTree(folder)
        try outcome.get()
    }

    private func put(_ key: StoreKey) -> Transaction { Transaction(success: [.put(key, Array("1".utf8))]) }
}

/// What was logged.
private final class Heard: LogHandler {
    private let seen = Mutex<[String]>([])
    var lines: [String] { seen.withLock { $0 } }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .info }
        set {}
    }
    subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) { seen.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") } }
}

extension EtcdCluster {
    /// The member that leads, as soon as there is one.
    func leader(_ store: EtcdStore) async throws -> Int {
        var found: Int?
        try await eventually {
            await store.health.look()
            let leaders = store.health.members.filter(\.isLeader).map(\.endpoint)
            found = leaders.count == 1 ? members.firstIndex { $0.endpoint == leaders[0] } : nil
            return found != nil
        }
        return found ?? 0
    }

    /// Waits until all members serve.
    func settle(_ store: EtcdStore) async throws {
        try await eventually {
            await store.health.look()
            return store.health.trouble == nil
        }
    }
}
