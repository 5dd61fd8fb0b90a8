internal import CoveyModel
package import CoveyStore
internal import CoveySystem

extension EtcdStore {
    package func watch(_ prefix: StoreKey, from revision: Revision?) async throws -> WatchStream {
        let first = if let revision { revision } else { try await currentRevision().next }
        let watch = EtcdWatch(self, prefix, from: max(first, Revision(1)))
        return WatchStream(from: first) { _ in try await watch.next() }
    }

    /// Whether the history at a revision is gone; nil where it can be read, or is to come.
    func compaction(atOrAfter revision: Revision) async throws -> Revision? {
        guard revision > .zero else { return nil }
        var request = Etcdserverpb_RangeRequest()
        request.key = keys.key(.incarnation)
        request.countOnly = true
        request.revision = revision.number
        do {
            _ = try await pool.perform(.range, request, on: .calls, .repeatable)
            return nil
        } catch is OutOfRangeError {
            if try await currentRevision() < revision { return nil }
            return try await compactedRevision() ?? revision
        }
    }

    /// The revision up to which history is gone; nil where the members do not say.
    ///
    /// Only a watch is told: one that begins at the first revision is refused with it.
    func compactedRevision() async throws -> Revision? {
        var create = Etcdserverpb_WatchCreateRequest()
        create.key = keys.key(.incarnation)
        create.startRevision = 1
        let index = try await pool.choose()
        let session = WatchSession(
            try pool.connection(.watches, index), create: create, times: pool.times, clock: pool.clock,
            closing: closing)
        do {
            return try await withDeadline(pool.times.read, "asking etcd for its compaction") {
                while let response = try await session.next() {
                    if response.compactRevision > 0 { return Revision(response.compactRevision) }
                    if response.canceled { return nil }
                }
                return nil
            }
        } catch let error as CoveyError where error.code == .deadline {
            // Without a compaction nothing is said.
            return nil
        }
    }
}

/// One watch over all its streams. It holds no more than what one response has.
actor EtcdWatch {
    private let store: EtcdStore
    private let prefix: StoreKey
    private var assembly: WatchAssembly
    private var waiting: ArraySlice<WatchBatch> = []
    private var session: (stream: WatchSession, index: Int)?
    private let relistAt: Duration?
    private var hasBegun = false

    init(_ store: EtcdStore, _ prefix: StoreKey, from revision: Revision) {
        self.store = store
        self.prefix = prefix
        assembly = WatchAssembly(from: revision, keys: store.keys)
        relistAt = store.pool.times.relist.map { interval in
            let milliseconds = interval.wholeMilliseconds
            return store.pool.clock.elapsed() + .milliseconds(milliseconds - Int64.random(in: 0...(milliseconds / 3)))
        }
    }

    /// Waits for what comes next.
    func next() async throws -> WatchStep {
        while true {
            if let batch = waiting.popFirst() { return .changes([batch]) }
            try Task.checkCancellation()
            if store.pool.isClosed { throw EtcdPool.closed }
            if let relistAt, relistAt <= store.pool.clock.elapsed() {
                session = nil
                return .compacted(Revision(assembly.next.number - 1))
            }
            do {
                if let compacted = try await step() {
                    session = nil
                    return .compacted(compacted)
                }
            } catch {
                let lost = session
                session = nil
                if Task.isCancelled { throw CancellationError() }
                guard let error = error as? CoveyError, error.retryable, !store.pool.isClosed else { throw error }
                if let lost { store.pool.failed(lost.index) }
            }
        }
    }

    /// Takes one response. Returns the revision of a compaction that overtook this watch.
    private func step() async throws -> Revision? {
        let stream = try await opened()
        guard let response = try await stream.next() else {
            try Task.checkCancellation()
            throw CoveyError(.unavailable, "the watch of \(store.pool.address) ended")
        }
        if response.compactRevision > 0 { return Revision(response.compactRevision) }
        if response.canceled {
            throw CoveyError(.unavailable, "etcd ended the watch: \(response.cancelReason)")
        }
        if response.created {
            if let session { store.pool.worked(session.index) }
            // A watch that begins at the compacted revision itself is let in, and may have lost what it deleted.
            return try await store.compaction(atOrAfter: Revision(assembly.next.number - 1))
        }
        if response.events.isEmpty && !response.fragment {
            // One that was asked for may overtake events in servers before 3.4.25; it only says that somebody is there.
            if response.watchID != WatchSession.manual { assembly.advance(to: Revision(response.header.revision)) }
            return nil
        }
        waiting = try assembly.take(response.events, isFragment: response.fragment)[...]
        return nil
    }

    private func opened() async throws -> WatchSession {
        if let session { return session.stream }
        let pool = store.pool
        let index = try await pool.choose()
        let connection = try pool.connection(.watches, index)
        do throws(EtcdFailure) { try await pool.know(index, within: pool.times.read) } catch {
            pool.failed(index)
            throw CoveyError(.unavailable, "\(error.place) cannot be watched: \(error.text)")
        }
        assembly.begin()
        var create = Etcdserverpb_WatchCreateRequest()
        create.key = store.keys.key(prefix)
        create.rangeEnd = store.keys.end(prefix)
        create.startRevision = assembly.next.number
        create.progressNotify = true
        create.fragment = true
        let stream = WatchSession(
            connection, create: create, times: pool.times, clock: pool.clock, closing: store.closing
        ) {
            pool.abandon(.watches, index, connection)
        }
        session = (stream, index)
        return stream
    }
}
