internal import CoveyModel
internal import Foundation
internal import GRDB

/// SQLite by itself with the same durability: one table, one commit a write, no history, no revision of the whole.
struct BareSQLite: StoreSubject {
    private let pool: DatabasePool

    /// A new file.
    init(_ path: String) throws {
        pool = try DatabasePool(path: path)
        try pool.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA synchronous = FULL")
            try db.execute(
                sql: "CREATE TABLE entry (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL) STRICT")
        }
    }

    func put(_ key: String, _ value: [UInt8]) async throws {
        try await pool.write { db in
            try db.execute(
                sql: "INSERT OR REPLACE INTO entry (key, value, revision) VALUES (?, ?, 1)",
                arguments: [key, Data(value)])
        }
    }

    func replace(_ key: String, _ value: [UInt8], at revision: Int64) async throws -> Int64 {
        try await pool.write { db in
            try db.execute(
                sql: "UPDATE entry SET value = ?, revision = revision + 1 WHERE key = ? AND revision = ?",
                arguments: [Data(value), key, revision])
            guard db.changesCount == 1 else { throw CoveyError(.conflict, "\(key) has another revision") }
        }
        return revision + 1
    }

    func get(_ key: String) async throws -> Int64 {
        try await pool.read { db in
            let row = try Row.fetchOne(db, sql: "SELECT value, revision FROM entry WHERE key = ?", arguments: [key])
            return row?["revision"] ?? 0
        }
    }

    func range(_ prefix: String) async throws -> Int {
        try await pool.read { db in
            try Row.fetchAll(
                db, sql: "SELECT key, value, revision FROM entry WHERE key >= ? AND key < ? ORDER BY key",
                arguments: [prefix, prefix + "\u{10FFFF}"]
            ).count { row in (row["value"] as Data?)?.count == 1200 }
        }
    }

    func close() async throws { try pool.close() }
}
