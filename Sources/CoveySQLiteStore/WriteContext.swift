internal import CoveyModel
internal import CoveyStore
internal import FoundationEssentials
internal import GRDB

extension String {
    /// Its bytes as a blob.
    var blob: Data { Data(utf8) }
}

/// Keys and rows as SQLite has them.
enum StoreKeys {
    static let incarnation = StoreKey.incarnation.text.blob

    /// The first blob after all keys under a prefix. Keys are UTF-8, which has no byte 0xFF.
    static func end(_ prefix: StoreKey) -> Data { Data(prefix.prefixEnd ?? [0xFF]) }

    /// The columns that ``entry(_:)`` reads.
    static let columns = "key, value, created, mod, version, lease"

    static func entry(_ row: Row) -> StoreEntry {
        StoreEntry(
            key: StoreKey(String(decoding: row[0] as Data, as: UTF8.self)), value: Array(row[1] as Data),
            createRevision: Revision(row[2]), modRevision: Revision(row[3]), version: row[4],
            lease: (row[5] as Int64?).map { LeaseID($0) })
    }
}

/// The writer's view during a commit that several share.
struct WriteContext: TransactionTarget {
    let db: Database
    /// The newest revision, of jobs of this commit too.
    private(set) var revision: Revision
    /// What was changed so far, in order.
    private(set) var batches: [WatchBatch] = []
    /// Set by a compaction.
    private(set) var compacted: Revision?

    init(_ db: Database) throws {
        self.db = db
        let row = try Row.fetchOne(db.cachedStatement(sql: "SELECT revision FROM state"))
        guard let row else { throw CoveyError(.corrupt, "the store has lost its revision") }
        revision = Revision(row[0])
    }

    /// Makes a revision of some changes; none makes none.
    mutating func add(_ events: [StoreEvent]) {
        guard !events.isEmpty else { return }
        revision = revision.next
        batches.append(WatchBatch(revision: revision, events: events))
    }

    /// Writes the revision down; the last step before a commit.
    func finish() throws {
        guard !batches.isEmpty else { return }
        try db.cachedStatement(sql: "UPDATE state SET revision = ?").execute(arguments: [revision.number])
    }

    /// Deletes a lease's keys as one revision, and the lease.
    mutating func end(_ lease: LeaseID) throws {
        let keys = try Data.fetchAll(
            db.cachedStatement(
                sql: "SELECT key FROM version WHERE lease = ? AND ended IS NULL ORDER BY key"),
            arguments: [lease.number]
        ).map { StoreKey(String(decoding: $0, as: UTF8.self)) }
        for key in keys { try delete(key, at: revision.next) }
        add(keys.map { .delete($0) })
        try db.execute(sql: "DELETE FROM lease WHERE id = ?", arguments: [lease.number])
    }

    mutating func compact(_ wanted: Revision) throws {
        try checkNotAhead(wanted, newest: revision)
        try db.execute(sql: "UPDATE state SET compacted = ?1 WHERE compacted < ?1", arguments: [wanted.number])
        guard db.changesCount > 0 else { return }
        try db.execute(sql: "DELETE FROM version WHERE ended <= ?", arguments: [wanted.number])
        compacted = wanted
    }

    func entry(_ key: StoreKey) throws -> StoreEntry? { try db.entry(key) }

    func isEmpty(_ prefix: StoreKey) throws -> Bool {
        let statement = try db.cachedStatement(
            sql: "SELECT 1 FROM version WHERE ended IS NULL AND key >= ? AND key < ? LIMIT 1")
        return try Row.fetchOne(statement, arguments: [prefix.text.blob, StoreKeys.end(prefix)]) == nil
    }

    func hasLease(_ lease: LeaseID) throws -> Bool {
        try Row.fetchOne(
            db.cachedStatement(sql: "SELECT 1 FROM lease WHERE id = ?"), arguments: [lease.number]) != nil
    }

    func write(_ entry: StoreEntry) throws {
        let key = entry.key.text.blob
        try end(key, at: entry.modRevision)
        try db.cachedStatement(
            sql: "INSERT INTO version (key, mod, created, version, lease, value) VALUES (?, ?, ?, ?, ?, ?)"
        ).execute(arguments: [
            key, entry.modRevision.number, entry.createRevision.number, entry.version, entry.lease?.number,
            Data(entry.value),
        ])
    }

    func delete(_ key: StoreKey, at revision: Revision) throws {
        try end(key.text.blob, at: revision)
        try db.cachedStatement(
            sql: "INSERT INTO version (key, mod, created, version, value, ended) VALUES (?1, ?2, 0, 0, x'', ?2)"
        ).execute(arguments: [key.text.blob, revision.number])
    }

    private func end(_ key: Data, at revision: Revision) throws {
        try db.cachedStatement(sql: "UPDATE version SET ended = ? WHERE key = ? AND ended IS NULL")
            .execute(arguments: [revision.number, key])
    }
}

extension Database {
    /// What stands under a key now.
    func entry(_ key: StoreKey) throws -> StoreEntry? {
        let statement = try cachedStatement(
            sql: "SELECT \(StoreKeys.columns) FROM version WHERE key = ? AND ended IS NULL")
        return try Row.fetchOne(statement, arguments: [key.text.blob]).map(StoreKeys.entry)
    }

    /// The newest revision, and the one up to which history is gone.
    func revisions() throws -> (newest: Revision, compacted: Revision) {
        guard let row = try Row.fetchOne(cachedStatement(sql: "SELECT revision, compacted FROM state")) else {
            throw CoveyError(.corrupt, "the store has lost its revision")
        }
        return (Revision(row[0]), Revision(row[1]))
    }

    /// One page of a prefix at a revision.
    func page(
        _ prefix: StoreKey, from: StoreKey?, limit: Int?, at revision: Revision, isNewest: Bool
    ) throws -> RangePage {
        let first = max(prefix, from ?? prefix).text.blob
        let most = limit.map { $0 + 1 } ?? -1
        let rows: [StoreEntry]
        if isNewest {
            let statement = try cachedStatement(
                sql: """
                    SELECT \(StoreKeys.columns) FROM version
                    WHERE ended IS NULL AND key >= ? AND key < ? ORDER BY key LIMIT ?
                    """)
            rows = try Row.fetchAll(statement, arguments: [first, StoreKeys.end(prefix), most]).map(StoreKeys.entry)
        } else {
            let statement = try cachedStatement(
                sql: """
                    SELECT \(StoreKeys.columns) FROM version INDEXED BY version_key
                    WHERE key >= ?1 AND key < ?2 AND mod <= ?3 AND (ended IS NULL OR ended > ?3)
                    ORDER BY key LIMIT ?4
                    """)
            rows = try Row.fetchAll(statement, arguments: [first, StoreKeys.end(prefix), revision.number, most])
                .map(StoreKeys.entry)
        }
        guard let limit, rows.count > limit else { return RangePage(entries: rows, revision: revision, next: nil) }
        let entries = Array(rows.prefix(limit))
        return RangePage(entries: entries, revision: revision, next: entries.last?.key.successor)
    }

    /// The changes under a prefix from a revision on: whole batches, about `limit` events.
    func changes(_ prefix: StoreKey, from: Revision, limit: Int) throws -> [WatchBatch] {
        let sql = """
            SELECT \(StoreKeys.columns), ended IS mod FROM version
            WHERE mod >= ? AND mod <= ? AND key >= ? AND key < ? ORDER BY mod, id LIMIT ?
            """
        func read(_ first: Int64, _ last: Int64, _ most: Int) throws -> [WatchBatch] {
            let rows = try Row.fetchAll(
                cachedStatement(sql: sql),
                arguments: [first, last, prefix.text.blob, StoreKeys.end(prefix), most])
            var batches: [WatchBatch] = []
            for row in rows {
                let entry = StoreKeys.entry(row)
                let event: StoreEvent = (row[6] as Bool) ? .delete(entry.key) : .put(entry)
                if batches.last?.revision == entry.modRevision {
                    batches[batches.count - 1].events.append(event)
                } else {
                    batches.append(WatchBatch(revision: entry.modRevision, events: [event]))
                }
            }
            return batches
        }
        var batches = try read(from.number, .max, limit)
        let count = batches.reduce(0) { $0 + $1.events.count }
        guard count == limit, let last = batches.popLast() else { return batches }
        // The last one may go on beyond the limit.
        if batches.isEmpty { batches = try read(last.revision.number, last.revision.number, -1) }
        return batches
    }
}
