internal import CoveyModel
internal import CoveyStore
internal import GRDB
internal import Synchronization

/// Lets concurrent writers share one durable commit, each with a savepoint of its own.
///
/// Work that was handed in is carried out whatever becomes of its caller: cancelling one never takes back
/// what others share.
final class GroupCommit: Sendable {
    /// Called on the writer's queue with what a commit changed, before the writers hear of it.
    typealias Publish = @Sendable (_ context: WriteContext) -> Void

    private struct Job: Sendable {
        /// Does the work, and returns what tells the caller after the commit.
        var perform: @Sendable (inout WriteContext) throws -> @Sendable (CoveyError?) -> Void
        /// Tells the caller that nothing was done.
        var fail: @Sendable (any Error) -> Void
    }

    private struct State {
        var waiting: [Job] = []
        var scheduled = false
        var closed = false
        var trouble: WriteTrouble?
    }

    private static let groupLimit = 256

    private let pool: DatabasePool
    private let path: String
    private let clock: StoreClock
    private let publish: Publish
    private let state = Mutex(State())

    init(_ pool: DatabasePool, path: String, clock: StoreClock, publish: @escaping Publish) {
        self.pool = pool
        self.path = path
        self.clock = clock
        self.publish = publish
    }

    /// Carries work out, and returns when it is durable.
    ///
    /// Errors: what the work throws; ``ErrorCode/exhausted``, ``ErrorCode/unavailable``,
    /// ``ErrorCode/outcomeUnknown`` from the commit.
    func submit<T: Sendable>(_ work: @escaping @Sendable (inout WriteContext) throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<T, any Error>) in
            let job = Job(
                perform: { context in
                    let result = try work(&context)
                    return { failure in
                        if let failure {
                            continuation.resume(throwing: failure)
                        } else {
                            continuation.resume(returning: result)
                        }
                    }
                }, fail: { continuation.resume(throwing: $0) })
            let (accepted, first) = state.withLock { state -> (Bool, Bool) in
                if state.closed { return (false, false) }
                state.waiting.append(job)
                defer { state.scheduled = true }
                return (true, !state.scheduled)
            }
            if !accepted { return job.fail(GroupCommit.closed) }
            if first { schedule() }
        }
    }

    /// Takes no more work.
    func close() { state.withLock { $0.closed = true } }

    /// Whether it takes no more work.
    var isClosed: Bool { state.withLock { $0.closed } }

    /// What keeps commits from being stored, and since when on the clock; nil after one that was.
    var trouble: WriteTrouble? { state.withLock { $0.trouble } }

    private func note(_ error: CoveyError?) {
        let now = clock.elapsed()
        state.withLock { state in
            state.trouble = error.map { WriteTrouble(error: $0, since: state.trouble?.since ?? now) }
        }
    }

    static var closed: CoveyError { CoveyError(.unavailable, "the store was closed") }

    private func schedule() {
        pool.asyncWriteWithoutTransaction { [self] db in
            let jobs = state.withLock { state in
                let jobs = Array(state.waiting.prefix(GroupCommit.groupLimit))
                state.waiting.removeFirst(jobs.count)
                return jobs
            }
            carryOut(jobs, db)
            let more = state.withLock { state in
                state.scheduled = !state.waiting.isEmpty
                return state.scheduled
            }
            if more { schedule() }
        }
    }

    private func carryOut(_ jobs: [Job], _ db: Database) {
        var done: [@Sendable (CoveyError?) -> Void] = []
        var next = 0
        var committing = false
        do {
            try db.beginTransaction(.immediate)
            var context = try WriteContext(db)
            while next < jobs.count {
                let before = context
                try db.execute(sql: "SAVEPOINT job")
                do {
                    let tell = try jobs[next].perform(&context)
                    try db.execute(sql: "RELEASE job")
                    done.append(tell)
                } catch let error where !(error is DatabaseError) {
                    // This one was refused; the others go on.
                    context = before
                    try db.execute(sql: "ROLLBACK TO job; RELEASE job")
                    jobs[next].fail(error)
                }
                next += 1
            }
            try context.finish()
            committing = true
            try db.commit()
            note(nil)
            publish(context)
            for tell in done { tell(nil) }
        } catch {
            let failure =
                (error as? DatabaseError)?.coveyError(path, writing: committing)
                ?? (error as? CoveyError) ?? CoveyError(.internalError, "the store \(path) failed", cause: error)
            if db.isInsideTransaction {
                do { try db.rollback() } catch {
                    // SQLite has rolled back by itself; the next commit begins anew either way.
                }
            }
            note(failure)
            for tell in done { tell(failure) }
            for job in jobs[next...] { job.fail(failure) }
        }
    }
}

/// What keeps a store from writing.
struct WriteTrouble: Sendable {
    /// What the last write met.
    var error: CoveyError
    /// When the first of the writes that failed in a row did, on the store's clock.
    var since: Duration
}
