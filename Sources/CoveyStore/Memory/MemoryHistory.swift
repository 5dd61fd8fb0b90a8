/// All keys with their past, in memory: a value without locks.
struct MemoryHistory: TransactionTarget {
    private struct Version {
        var revision: Revision
        /// Nil for a deletion.
        var entry: StoreEntry?
    }

    /// The newest revision.
    private(set) var revision = Revision.zero
    /// The oldest revision that can be read.
    private(set) var compacted = Revision.zero
    /// When leases end.
    var leases = LeaseTable()
    private var keys: [StoreKey] = []
    private var versions: [StoreKey: [Version]] = [:]
    private var batches: [WatchBatch] = []
    private var events = 0
    private let limit: Int

    /// A new history that keeps at most so many events for watchers.
    init(incarnation: String, limit: Int) {
        self.limit = limit
        let entry = StoreEntry(
            key: .incarnation, value: Array(incarnation.utf8), createRevision: revision.next,
            modRevision: revision.next, version: 1)
        write(entry)
        commit([.put(entry)])
    }

    mutating func transact(_ transaction: Transaction) throws -> TransactionResult {
        let (result, events) = try transaction.apply(to: &self, after: revision)
        commit(events)
        return result
    }

    /// Ends a lease with its keys.
    mutating func end(_ lease: LeaseID) {
        guard leases.remove(lease) else { return }
        let attached = keys.filter { entry($0)?.lease == lease }
        for key in attached { delete(key, at: revision.next) }
        commit(attached.map { .delete($0) })
    }

    func range(_ prefix: StoreKey, from: StoreKey?, limit: Int?, at wanted: Revision) -> RangePage {
        var index = firstIndex(max(prefix, from ?? prefix))
        var page = RangePage(entries: [], revision: wanted, next: nil)
        while index < keys.count, keys[index].hasPrefix(prefix) {
            if let entry = entry(keys[index], at: wanted) {
                if page.entries.count == limit {
                    page.next = page.entries.last?.key.successor
                    break
                }
                page.entries.append(entry)
            }
            index += 1
        }
        return page
    }

    /// The first changes under a prefix, from a revision on; nil where there are none yet.
    func changes(_ prefix: StoreKey, from: Revision) -> WatchBatch? {
        var low = 0
        var high = batches.count
        while low < high {
            let middle = (low + high) / 2
            if batches[middle].revision < from { low = middle + 1 } else { high = middle }
        }
        for batch in batches[low...] {
            let events = batch.events.filter { $0.key.hasPrefix(prefix) }
            if !events.isEmpty { return WatchBatch(revision: batch.revision, events: events) }
        }
        return nil
    }

    mutating func compact(_ wanted: Revision) {
        guard wanted > compacted else { return }
        compacted = wanted
        batches.removeAll { $0.revision <= wanted }
        events = batches.reduce(0) { $0 + $1.events.count }
        var gone = false
        for key in keys {
            guard var past = versions[key], let last = past.lastIndex(where: { $0.revision <= wanted }) else {
                continue
            }
            past.removeFirst(past[last].entry == nil ? last + 1 : last)
            versions[key] = past.isEmpty ? nil : past
            gone = gone || past.isEmpty
        }
        if gone { keys.removeAll { versions[$0] == nil } }
    }

    func entry(_ key: StoreKey) -> StoreEntry? { versions[key]?.last?.entry }

    func isEmpty(_ prefix: StoreKey) -> Bool {
        range(prefix, from: nil, limit: 1, at: revision.next).entries.isEmpty
    }

    func hasLease(_ lease: LeaseID) -> Bool { leases.contains(lease) }

    mutating func write(_ entry: StoreEntry) {
        add(Version(revision: entry.modRevision, entry: entry), under: entry.key)
    }

    mutating func delete(_ key: StoreKey, at revision: Revision) {
        add(Version(revision: revision, entry: nil), under: key)
    }

    private mutating func commit(_ changes: [StoreEvent]) {
        guard !changes.isEmpty else { return }
        revision = revision.next
        batches.append(WatchBatch(revision: revision, events: changes))
        events += changes.count
        if events > limit { compact(batches[batches.count / 2].revision) }
    }

    private mutating func add(_ version: Version, under key: StoreKey) {
        if versions[key] == nil { keys.insert(key, at: firstIndex(key)) }
        versions[key, default: []].append(version)
    }

    private func entry(_ key: StoreKey, at wanted: Revision) -> StoreEntry? {
        versions[key]?.last { $0.revision <= wanted }?.entry
    }

    private func firstIndex(_ key: StoreKey) -> Int {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            if keys[middle] < key { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
