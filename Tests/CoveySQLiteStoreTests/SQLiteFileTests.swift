internal import CoveyModel
internal import CoveySQLiteStore
internal import CoveyStore
internal import CoveyTesting
internal import FoundationEssentials
internal import GRDB
internal import Glibc
internal import Testing

@Suite("SQLite file", .timeLimit(.minutes(2)))
struct SQLiteFileTests {
    @Test("what was written is there after a reopen: values, revisions, history, leases and incarnation")
    func reopen() async throws {
        try await withFolder { folder in
            let clock = ManualClock()
            let first = try await SQLiteStore.open("\(folder)/store.db", clock: StoreClock(clock))
            let lease = try await first.grantLease(seconds: 5)
            let revision = try await first.put("t/a", "1")
            try await first.put("t/a", "2")
            let leased = Transaction(success: [.put("t/leased", [], lease: lease.id)])
            let last = try await first.transact(leased).revision
            let incarnation = try await first.incarnation()
            try await first.close()

            clock.advance(by: .seconds(100))
            let second = try await SQLiteStore.open("\(folder)/store.db", clock: StoreClock(clock))
            #expect(try await second.incarnation() == incarnation)
            #expect(try await second.currentRevision() == last)
            #expect(try await second.range("t/", from: nil, limit: nil, at: revision).entries.count == 1)
            let answers = try await second.watch("t/a", from: revision).makeAsyncIterator()
            for value in ["1", "2"] {
                guard case .changes(let batch)? = try await answers.next(), case .put(let entry)? = batch.events.first
                else {
                    Issue.record("the history is gone")
                    break
                }
                #expect(String(decoding: entry.value, as: UTF8.self) == value)
            }
            let work = Task { try await second.run() }
            // Its full time again, from the opening on.
            await clock.waitForSleeper(until: .seconds(105))
            #expect(try await second.get("t/leased") != nil)
            let gone = try await second.watch("t/leased", from: nil).makeAsyncIterator()
            clock.advance(by: .seconds(5))
            _ = try await gone.next()
            #expect(try await second.get("t/leased") == nil)
            work.cancel()
            #expect(try await second.put("t/b", "3") == last.next.next)
            try await second.close()
        }
    }

    @Test("two stores never open one file, and closing frees it")
    func locked() async throws {
        try await withFolder { folder in
            let first = try await SQLiteStore.open("\(folder)/store.db")
            let error = await #expect(throws: CoveyError.self) { try await SQLiteStore.open("\(folder)/store.db") }
            #expect(error?.code == .conflict)
            #expect(error?.remedy != nil)
            try await first.close()
            try await SQLiteStore.open("\(folder)/store.db").close()
        }
    }

    @Test("a closed store answers unavailable, its watches too")
    func closed() async throws {
        try await withFolder { folder in
            let store = try await SQLiteStore.open("\(folder)/store.db")
            let stream = try await store.watch("t/", from: nil)
            let waiting = Task { try await stream.makeAsyncIterator().next() }
            try await store.close()
            let watch = await #expect(throws: CoveyError.self) { try await waiting.value }
            let read = await #expect(throws: CoveyError.self) { try await store.get("t/a") }
            let write = await #expect(throws: CoveyError.self) { try await store.put("t/a", "1") }
            #expect([watch?.code, read?.code, write?.code] == [.unavailable, .unavailable, .unavailable])
        }
    }

    @Test("commits are durable: write-ahead log, synchronous FULL, and the file is ours alone")
    func durable() async throws {
        try await withFolder { folder in
            let store = try await SQLiteStore.open("\(folder)/store.db")
            try await store.put("t/a", "1")
            // The header of the log is there as long as the store is open.
            #expect(access("\(folder)/store.db-wal", F_OK) == 0)
            for name in ["store.db", "store.db-wal", "store.db.lock"] {
                var information = stat()
                #expect(stat("\(folder)/\(name)", &information) == 0)
                #expect(information.st_mode & 0o777 == 0o600, "\(name)")
            }
            try await store.close()
        }
    }

    @Test("a damaged file, or one of another program, is refused with a remedy and left as it is")
    func damaged() async throws {
        try await withFolder { folder in
            let path = "\(folder)/store.db"
            let store = try await SQLiteStore.open(path)
            for index in 0..<500 { try await store.put("t/\(index)", String(repeating: "x", count: 100)) }
            try await store.close()
            let good = try Data(contentsOf: URL(filePath: path))
            var truncated = good
            truncated.removeLast(good.count / 2)
            var scrambled = good
            for offset in stride(from: 8192, to: good.count - 64, by: 4096) {
                for index in 0..<64 { scrambled[offset + index] = 0xA5 }
            }
            let bad: [(String, Data)] = [
                ("truncated", truncated), ("scrambled", scrambled),
                ("no database", Data("this is no database, though long enough to look at".utf8) + Data(count: 4096)),
            ]
            for (claim, bytes) in bad {
                try bytes.write(to: URL(filePath: path))
                let error = await #expect(throws: CoveyError.self, "\(claim)") { try await SQLiteStore.open(path) }
                #expect(error?.code == .corrupt, "\(claim): \(String(describing: error))")
                #expect(error?.remedy != nil, "\(claim)")
                #expect(try Data(contentsOf: URL(filePath: path)) == bytes, "\(claim): untouched")
            }
            let foreign = try DatabaseQueue(path: "\(folder)/foreign.db")
            try await foreign.write { try $0.execute(sql: "CREATE TABLE other (x)") }
            try foreign.close()
            let error = await #expect(throws: CoveyError.self) { try await SQLiteStore.open("\(folder)/foreign.db") }
            #expect(error?.code == .corrupt)
        }
    }

    @Test("a file of a newer layout is refused and untouched")
    func newer() async throws {
        try await withFolder { folder in
            let path = "\(folder)/store.db"
            try await SQLiteStore.open(path).close()
            let queue = try DatabaseQueue(path: path)
            try await queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA user_version = 2") }
            try queue.close()
            let before = try Data(contentsOf: URL(filePath: path))
            let error = await #expect(throws: CoveyError.self) { try await SQLiteStore.open(path) }
            #expect(error?.code == .unsupported)
            #expect(try Data(contentsOf: URL(filePath: path)) == before)
        }
    }

    @Test("a full store refuses writes, goes on reading, and goes on writing when there is room again")
    func full() async throws {
        try await withFolder { folder in
            let store = try await SQLiteStore.open("\(folder)/store.db", sizeLimit: .mebibytes(1))
            let value = String(repeating: "x", count: 20_000)
            var written = 0
            var failure: CoveyError?
            while failure == nil && written < 1000 {
                do {
                    try await store.put("t/\(written % 10)", value)
                    written += 1
                } catch let error as CoveyError { failure = error }
            }
            #expect(failure?.code == .exhausted)
            #expect(failure?.remedy != nil)
            #expect(store.trouble?.error.code == .exhausted)
            let now = try await store.currentRevision()
            #expect(try await store.list("t/").entries.count == 10)
            #expect(now.number == Int64(written + 1))
            try await store.compact(now)
            #expect(try await store.put("t/again", value) == now.next)
            #expect(store.trouble == nil)
            try await store.close()
        }
    }

    @Test("a disk that turns read-only fails writes with a clear trouble, and what was stored is still read")
    func readOnlyDisk() async throws {
        try await withFolder { folder in
            try await withLoopDisk(folder) { disk in
                let store = try await SQLiteStore.open("\(disk.mountPoint)/store.db")
                try await store.put("t/before", "kept")
                #expect(store.trouble == nil)
                try await disk.turnReadOnly()
                for _ in 0..<2 {
                    let failure = await #expect(throws: CoveyError.self) { try await store.put("t/after", "lost") }
                    #expect([.unavailable, .outcomeUnknown].contains(failure?.code), "\(String(describing: failure))")
                    #expect(failure?.remedy != nil)
                }
                #expect(store.trouble?.error.remedy != nil)
                #expect(try await store.list("t/").entries.map(\.value) == [Array("kept".utf8)])
                // Closing writes the log back, which this disk does not take either.
                do { try await store.close() } catch is CoveyError {}
            }
        }
    }

    @Test("one writer that fails does not take the others of its commit with it")
    func isolation() async throws {
        try await withFolder { folder in
            let store = try await SQLiteStore.open("\(folder)/store.db")
            let outcomes = await withTaskGroup(of: (Int, Bool).self) { group in
                for index in 0..<300 {
                    group.addTask {
                        let lease = index % 3 == 0 ? LeaseID(99) : nil
                        let transaction = Transaction(success: [
                            .put("t/first/\(index)", []), .put("t/second/\(index)", [], lease: lease),
                        ])
                        do {
                            _ = try await store.transact(transaction)
                            return (index, true)
                        } catch { return (index, false) }
                    }
                }
                return await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            #expect(outcomes.allSatisfy { $0.value == ($0.key % 3 != 0) })
            let (entries, revision) = try await store.list("t/")
            #expect(entries.count == 400)
            #expect(revision.number == 201)
            try await store.close()
        }
    }

    @Test("no acknowledged write is lost when the process is killed", arguments: 0..<3)
    func killed(round: Int) async throws {
        try await withFolder { folder in
            await #expect(processExitsWith: .signal(SIGKILL)) { [folder = folder as String, round = round as Int] in
                let store = try await SQLiteStore.open("\(folder)/store.db")
                let file = open("\(folder)/acknowledged", O_WRONLY | O_CREAT | O_APPEND, 0o600)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<8 {
                        group.addTask {
                            for index in 0..<100_000 {
                                let keys = ["a", "b"].map { StoreKey("t/\(writer)/\(index)/\($0)") }
                                _ = try await store.transact(Transaction(success: keys.map { .put($0, [1]) }))
                                let line = "t/\(writer)/\(index)\n"
                                _ = line.withCString { write(file, $0, strlen($0)) }
                                if writer == 0 && index == 50 + round * 37 { kill(getpid(), SIGKILL) }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            let store = try await SQLiteStore.open("\(folder)/store.db")
            let lines = try String(contentsOfFile: "\(folder)/acknowledged", encoding: .utf8).split(separator: "\n")
            #expect(lines.count > 50)
            let keys = Set(try await store.list("t/").entries.map(\.key.text))
            #expect(lines.allSatisfy { keys.contains("\($0)/a") && keys.contains("\($0)/b") })
            // A transaction is there wholly or not at all.
            #expect(keys.count == 2 * Set(keys.map { $0.dropLast(2) }).count)
            #expect(try await store.currentRevision().number == 1 + Int64(keys.count / 2))
            try await store.close()
        }
    }
}

extension SQLiteStore {
    @discardableResult
    fileprivate func put(_ key: StoreKey, _ value: String) async throws -> Revision {
        try await transact(Transaction(success: [.put(key, Array(value.utf8))])).revision
    }
}
