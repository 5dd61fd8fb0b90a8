internal import CoveyStore

/// The newest changes, so that watchers who keep up need not read the file. Bounded; a value.
struct RecentChanges {
    private var batches: [WatchBatch] = []
    /// From this revision on all changes are here.
    private(set) var floor: Revision
    /// The newest revision.
    private(set) var newest: Revision
    /// Up to here history is gone.
    var compacted: Revision
    private var bytes = 0

    private static let batchLimit = 2048
    private static let byteLimit = 8 << 20

    /// Nothing yet, of a store at a revision.
    init(newest: Revision, compacted: Revision) {
        self.newest = newest
        self.compacted = compacted
        floor = newest.next
    }

    /// Adds what a commit changed.
    mutating func add(_ new: [WatchBatch]) {
        guard let first = new.first, let last = new.last else { return }
        if first.revision != newest.next {
            batches = []
            bytes = 0
            floor = first.revision
        }
        batches += new
        newest = last.revision
        bytes += new.reduce(0) { $0 + RecentChanges.size($1) }
        guard batches.count > RecentChanges.batchLimit || bytes > RecentChanges.byteLimit else { return }
        var kept = batches.count
        while kept > 0, kept > RecentChanges.batchLimit / 2 || bytes > RecentChanges.byteLimit / 2 {
            bytes -= RecentChanges.size(batches[batches.count - kept])
            kept -= 1
        }
        floor = kept > 0 ? batches[batches.count - kept].revision : newest.next
        batches.removeFirst(batches.count - kept)
    }

    /// The changes under a prefix from a revision at or above ``floor``.
    func changes(_ prefix: StoreKey, from: Revision, limit: Int) -> [WatchBatch] {
        // Revisions follow each other without a gap.
        guard let first = batches.first else { return [] }
        let start = Int(max(0, from.number - first.revision.number))
        guard start < batches.count else { return [] }
        var found: [WatchBatch] = []
        for batch in batches[start...] where found.count < limit {
            let events = batch.events.filter { $0.key.hasPrefix(prefix) }
            if !events.isEmpty { found.append(WatchBatch(revision: batch.revision, events: events)) }
        }
        return found
    }

    private static func size(_ batch: WatchBatch) -> Int {
        batch.events.reduce(64) { sum, event in
            switch event {
            case .put(let entry): sum + entry.key.count + entry.value.count + 64
            case .delete(let key): sum + key.count + 64
            }
        }
    }
}
