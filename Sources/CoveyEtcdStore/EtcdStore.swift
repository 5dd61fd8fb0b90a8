internal import CoveyModel
package import CoveyStore

/// A store on etcd 3.4 or later, below a prefix of its own.
///
/// Reads are asked of one member after the other until one answers. A write is sent once: where its answer is
/// lost it answers ``ErrorCode/outcomeUnknown``, and whoever wrote looks what became of it.
package final class EtcdStore: Store {
    let pool: EtcdPool
    let keys: EtcdKeys
    let closing = RevisionSignal(.zero)
    /// What is seen of the members.
    package let health: EtcdHealth
    /// As many values as surely fit one message: none is larger than a transaction.
    private static let pageSize = EtcdConnection.messageLimit / Transaction.sizeLimit * 3 / 4

    /// Opens the store at an address; an empty prefix gets an incarnation.
    ///
    /// - Throws: ``ErrorCode/unavailable`` where no member answers in time, ``ErrorCode/corrupt`` where the prefix has
    ///   keys but no incarnation, ``ErrorCode/unsupported`` for an etcd before 3.4; what the members refuse.
    package static func open(
        _ address: EtcdAddress, times: EtcdTimes = EtcdTimes(), clock: StoreClock = StoreClock()
    ) async throws -> EtcdStore {
        let store = EtcdStore(try await EtcdPool(address, times: times, clock: clock))
        do {
            try await store.begin()
            return store
        } catch {
            await store.close()
            throw error
        }
    }

    private init(_ pool: EtcdPool) {
        self.pool = pool
        keys = EtcdKeys(pool.address.prefix)
        health = EtcdHealth(pool)
    }

    /// Ends calls and watches with ``ErrorCode/unavailable``.
    package func close() async {
        closing.close(EtcdPool.closed)
        pool.close()
    }

    /// Asks these members from now on, and no others; none leaves it as it is.
    package func follow(_ endpoints: [EtcdEndpoint]) { pool.follow(endpoints) }

    private func begin() async throws {
        let words = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }
        let first = Transaction(
            compares: [.prefixEmpty("")], success: [.put(.incarnation, Array(words.joined().utf8))],
            failure: [.get(.incarnation)])
        var unknown = 0
        while true {
            do {
                if try await get(.incarnation) != nil { return }
                let result = try await transact(first)
                if result.succeeded { return }
                if case .got(.some)? = result.results.first { return }
                throw CoveyError(
                    .corrupt, "\(pool.address) has keys but no \(StoreKey.incarnation): they are not a store's",
                    remedy: "give the store a prefix of its own: etcd://HOST:PORT/PREFIX")
            } catch let error as CoveyError where error.code == .outcomeUnknown && unknown < 5 {
                // The next round reads what became of it.
                unknown += 1
            }
        }
    }

    // MARK: Reading

    package func currentRevision() async throws -> Revision {
        var request = Etcdserverpb_RangeRequest()
        request.key = keys.key(.incarnation)
        request.countOnly = true
        return Revision(try await read(request, on: .calls).header.revision)
    }

    package func get(_ key: StoreKey) async throws -> StoreEntry? {
        var request = Etcdserverpb_RangeRequest()
        request.key = keys.key(key)
        return try await read(request, on: .calls).kvs.first.map { try keys.entry($0) }
    }

    package func range(
        _ prefix: StoreKey, from: StoreKey?, limit: Int?, at revision: Revision?
    ) async throws -> RangePage {
        try checkLimit(limit)
        // Nothing is there at etcd's first revision either, and 0 is its word for the newest.
        var wanted = revision.map { max($0, Revision(1)) }
        var page = RangePage(entries: [], revision: wanted ?? .zero, next: nil)
        var request = Etcdserverpb_RangeRequest()
        request.key = keys.key(max(prefix, from ?? prefix))
        request.rangeEnd = keys.end(prefix)
        while true {
            let most = min(EtcdStore.pageSize, limit.map { $0 - page.entries.count } ?? .max)
            request.limit = Int64(most)
            request.revision = wanted?.number ?? 0
            let response: Etcdserverpb_RangeResponse
            do { response = try await read(request, on: .ranges) } catch let error as OutOfRangeError {
                throw try await explain(error, wanted ?? .zero)
            }
            page.entries += try response.kvs.map { try keys.entry($0) }
            wanted = wanted ?? Revision(response.header.revision)
            page.revision = revision ?? wanted ?? .zero
            guard response.more, let last = page.entries.last else { return page }
            if page.entries.count == limit {
                page.next = last.key.successor
                return page
            }
            request.key = keys.key(last.key.successor)
        }
    }

    private func read(
        _ request: Etcdserverpb_RangeRequest, on lane: EtcdLane
    ) async throws -> Etcdserverpb_RangeResponse {
        try await pool.perform(.range, request, on: lane, .repeatable, isRead: true)
    }

    /// Why a revision cannot be read: it is to come, or it is gone.
    private func explain(_ error: OutOfRangeError, _ revision: Revision) async throws -> any Error {
        let newest = try await currentRevision()
        if revision > newest {
            return CoveyError(.invalid, "revision \(revision) is not there yet, the newest is \(newest)")
        }
        return CompactedError(revision: try await compactedRevision() ?? revision.next)
    }

    // MARK: Writing

    package func transact(_ transaction: Transaction) async throws -> TransactionResult {
        try transaction.check()
        let request = keys.request(transaction)
        let response =
            if transaction.isReadOnly {
                try await pool.perform(.transaction, request, on: .calls, .repeatable, isRead: true)
            } else {
                try await kept { [pool] in try await pool.perform(.transaction, request, on: .calls, .write) }
            }
        do throws(CoveyError) { return try keys.result(response, of: transaction) } catch { throw error }
    }

    package func compact(_ revision: Revision) async throws {
        guard revision > .zero else { return }
        var request = Etcdserverpb_CompactionRequest()
        request.revision = revision.number
        do {
            _ = try await pool.perform(.compact, request, on: .calls, .repeatable)
        } catch is OutOfRangeError {
            // It is forgotten already, or to come.
            try checkNotAhead(revision, newest: try await currentRevision())
        }
    }

    /// Carries work out whatever becomes of its caller: a write that was sent is not taken back. Its own deadlines
    /// bound it.
    private func kept<T: Sendable>(_ work: @escaping @Sendable () async throws -> T) async throws -> T {
        try Task.checkCancellation()
        return try await Task { try await work() }.value
    }

    // MARK: Leases

    package func grantLease(seconds: Int) async throws -> Lease {
        try checkLease(seconds: seconds)
        var request = Etcdserverpb_LeaseGrantRequest()
        request.ttl = Int64(seconds)
        let response = try await kept { [pool, request] in
            try await pool.perform(.grant, request, on: .leases, .write)
        }
        guard response.id > 0, response.ttl > 0 else {
            throw CoveyError(.unavailable, "etcd granted no lease: \(response.error)")
        }
        return Lease(id: LeaseID(response.id), seconds: Int(response.ttl))
    }

    package func keepAlive(_ lease: LeaseID) async throws {
        var request = Etcdserverpb_LeaseKeepAliveRequest()
        request.id = lease.number
        let response = try await pool.perform(.keepAlive, request, on: .leases, .repeatable)
        // There is no error for it.
        if response.ttl <= 0 { throw CoveyError.notFound("lease", lease.description) }
    }

    package func revokeLease(_ lease: LeaseID) async throws {
        var request = Etcdserverpb_LeaseRevokeRequest()
        request.id = lease.number
        do {
            _ = try await kept { [pool, request] in
                try await pool.perform(.revoke, request, on: .leases, .write)
            }
        } catch let error as CoveyError where error.code == .notFound {
            throw CoveyError.notFound("lease", lease.description)
        }
    }

    // MARK: Own work

    package func run() async throws { try await health.run() }
}
