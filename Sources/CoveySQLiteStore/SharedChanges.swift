internal import CoveyStore
internal import Synchronization

/// The newest changes, between the writer and the watchers.
final class SharedChanges: Sendable {
    /// What a watcher does next.
    enum Step {
        case answer(WatchStep)
        /// Wait until the store has this revision.
        case wait(Revision)
        /// Read the file: it asks for older changes.
        case read
    }

    /// Wakes watchers.
    let signal: RevisionSignal
    private let recent: Mutex<RecentChanges>

    init(newest: Revision, compacted: Revision) {
        signal = RevisionSignal(newest)
        recent = Mutex(RecentChanges(newest: newest, compacted: compacted))
    }

    /// Takes over what a commit changed.
    func publish(_ context: WriteContext) {
        recent.withLock { recent in
            recent.add(context.batches)
            if let compacted = context.compacted { recent.compacted = max(recent.compacted, compacted) }
        }
        signal.advance(to: context.revision)
    }

    func step(_ prefix: StoreKey, from: Revision) -> Step {
        recent.withLock { recent in
            if from <= recent.compacted { return .answer(.compacted(recent.compacted)) }
            if from < recent.floor { return .read }
            let batches = recent.changes(prefix, from: from, limit: 16)
            return batches.isEmpty ? .wait(max(from, recent.newest.next)) : .answer(.changes(batches))
        }
    }
}
