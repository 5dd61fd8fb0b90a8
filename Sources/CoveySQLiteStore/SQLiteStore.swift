package import CoveyModel
package import CoveyStore
internal import Dispatch
internal import GRDB
internal import Synchronization

/// A store in one SQLite file: write-ahead log, every commit durable, concurrent writers in one commit.
///
/// SQLite runs on queues of its own, never on the cooperative pool. A full or read-only disk fails the writes of that
/// moment; the next one tries again.
package final class SQLiteStore: Store {
    private let pool: DatabasePool
    private let path: String
    private let lock: StoreLock
    private let clock: StoreClock
    private let commits: GroupCommit
    private let recent: SharedChanges
    private let leases = Mutex(LeaseTable())
    private let grants = RevisionSignal(.zero)

    /// Opens the store in a file, or makes it; its folder has to exist.
    ///
    /// - Parameters:
    ///   - path: The file. A lock lies beside it, held until ``close()`` or the end of the process.
    ///   - clock: What leases go by; each lives its full time again after an opening.
    ///   - sizeLimit: The most that the file may take; beyond it writes fail with ``ErrorCode/exhausted``
    ///     until history was compacted.
    /// - Throws: ``ErrorCode/conflict`` where another daemon has it open, ``ErrorCode/corrupt`` for a damaged file,
    ///   ``ErrorCode/unsupported`` for one of a newer program, ``ErrorCode/exhausted``, ``ErrorCode/unavailable``,
    ///   ``ErrorCode/denied`` by the disk.
    package static func open(
        _ path: String, clock: StoreClock = StoreClock(), sizeLimit: ByteCount = .gibibytes(8)
    ) async throws -> SQLiteStore {
        try await blocking { try SQLiteStore(path, clock, sizeLimit) }
    }

    private init(_ path: String, _ clock: StoreClock, _ sizeLimit: ByteCount) throws {
        let lock = try StoreLock(path)
        let words = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }
        let pool = try StoreFile.open(path, incarnation: words.joined(), sizeLimit: sizeLimit)
        let (newest, compacted, granted) = try pool.read { db in
            let (newest, compacted) = try db.revisions()
            let granted = try Row.fetchAll(db, sql: "SELECT id, seconds FROM lease").map { row in
                Lease(id: LeaseID(row[0]), seconds: row[1])
            }
            return (newest, compacted, granted)
        }
        let recent = SharedChanges(newest: newest, compacted: compacted)
        self.path = path
        self.clock = clock
        self.lock = lock
        self.pool = pool
        self.recent = recent
        commits = GroupCommit(pool, path: path, clock: clock) { recent.publish($0) }
        leases.withLock { leases in
            for lease in granted { leases.add(lease, now: clock.elapsed()) }
        }
    }

    /// Finishes what was handed in, ends watches with ``ErrorCode/unavailable``, and frees the file.
    package func close() async throws {
        commits.close()
        recent.signal.close(GroupCommit.closed)
        try await SQLiteStore.blocking { [pool] in
            // Waits for the commits that are under way.
            pool.writeWithoutTransaction { _ in }
            try pool.close()
        }
        lock.release()
    }

    /// What keeps it from writing, and for how long; nil after a write that was stored.
    package var trouble: (error: CoveyError, lasting: Duration)? {
        commits.trouble.map { ($0.error, clock.elapsed() - $0.since) }
    }

    package func currentRevision() async throws -> Revision { try await read { try $0.revisions().newest } }

    package func get(_ key: StoreKey) async throws -> StoreEntry? { try await read { try $0.entry(key) } }

    package func range(
        _ prefix: StoreKey, from: StoreKey?, limit: Int?, at revision: Revision?
    ) async throws -> RangePage {
        try checkLimit(limit)
        return try await read { db in
            let (newest, compacted) = try db.revisions()
            let wanted = try checkReadable(revision, newest: newest, compacted: compacted)
            return try db.page(prefix, from: from, limit: limit, at: wanted, isNewest: wanted == newest)
        }
    }

    package func transact(_ transaction: Transaction) async throws -> TransactionResult {
        try transaction.check()
        if transaction.isReadOnly {
            return try await read { db in
                var context = try WriteContext(db)
                return try transaction.apply(to: &context, after: context.revision).result
            }
        }
        return try await commits.submit { context in
            let (result, events) = try transaction.apply(to: &context, after: context.revision)
            context.add(events)
            return result
        }
    }

    package func watch(_ prefix: StoreKey, from revision: Revision?) async throws -> WatchStream {
        let first = if let revision { revision } else { try await currentRevision().next }
        return WatchStream(from: first) { [self] from in try await answer(prefix, from: from) }
    }

    private func answer(_ prefix: StoreKey, from: Revision) async throws -> WatchStep {
        var position = from
        while true {
            let step = recent.step(prefix, from: position)
            switch step {
            case .answer(let answer): return answer
            case .wait(let wanted):
                position = wanted
                try await recent.signal.wait(for: wanted)
            case .read:
                let start = position
                let (batches, newest, compacted) = try await read { db in
                    let (newest, compacted) = try db.revisions()
                    return (try db.changes(prefix, from: start, limit: 256), newest, compacted)
                }
                if position <= compacted { return .compacted(compacted) }
                if !batches.isEmpty { return .changes(batches) }
                position = max(position, newest.next)
            }
        }
    }

    package func grantLease(seconds: Int) async throws -> Lease {
        try checkLease(seconds: seconds)
        let lease = try await commits.submit { context in
            try context.db.execute(sql: "INSERT INTO lease (seconds) VALUES (?)", arguments: [seconds])
            return Lease(id: LeaseID(context.db.lastInsertedRowID), seconds: seconds)
        }
        leases.withLock { $0.add(lease, now: clock.elapsed()) }
        grants.advance(to: Revision(lease.id.number))
        return lease
    }

    package func keepAlive(_ lease: LeaseID) async throws {
        let there = leases.withLock { $0.keepAlive(lease, now: clock.elapsed()) }
        if !there { throw CoveyError.notFound("lease", lease.description) }
    }

    package func revokeLease(_ lease: LeaseID) async throws {
        try await commits.submit { context in
            guard try context.hasLease(lease) else { throw CoveyError.notFound("lease", lease.description) }
            try context.end(lease)
        }
        _ = leases.withLock { $0.remove(lease) }
    }

    package func compact(_ revision: Revision) async throws {
        try await commits.submit { try $0.compact(revision) }
    }

    package func run() async throws {
        let runner = LeaseRunner(clock: clock, grants: grants) { [self] in
            leases.withLock { $0.nextDeadline }
        } expire: { [self] in
            try await endDueLeases()
        }
        try await runner.run()
    }

    private func endDueLeases() async throws {
        for lease in leases.withLock({ $0.due(now: clock.elapsed()) }) {
            // From here on a keep-alive is answered with "gone": a lease that was kept never ends.
            let seconds = leases.withLock { leases in
                leases.isDue(lease, now: clock.elapsed()) ? leases.take(lease) : nil
            }
            guard let seconds else { continue }
            do { try await commits.submit { if try $0.hasLease(lease) { try $0.end(lease) } } } catch {
                leases.withLock { $0.add(Lease(id: lease, seconds: seconds), now: clock.elapsed() - .seconds(seconds)) }
                throw error
            }
        }
    }

    private func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
        if commits.isClosed { throw GroupCommit.closed }
        do { return try await pool.read(body) } catch let error as DatabaseError {
            if commits.isClosed { throw GroupCommit.closed }
            throw error.coveyError(path, writing: false)
        }
    }

    private static func blocking<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue(label: "covey-store-open").async { @Sendable in
                continuation.resume(with: Result(catching: body))
            }
        }
    }
}
