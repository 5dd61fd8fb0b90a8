internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveySQLiteStore
internal import CoveyStore
internal import CoveySystem
internal import Foundation

/// What can be asked of a store, and of a bare client of the same engine.
protocol StoreSubject: Sendable {
    /// Writes a key whatever is there.
    func put(_ key: String, _ value: [UInt8]) async throws
    /// Writes a key where it still has a revision. Returns the new one. Errors: it has another.
    func replace(_ key: String, _ value: [UInt8], at revision: Int64) async throws -> Int64
    /// Reads a key. Returns its revision; 0 where it is not there.
    func get(_ key: String) async throws -> Int64
    /// Reads all keys that begin so. Returns how many.
    func range(_ prefix: String) async throws -> Int
    /// Closes it.
    func close() async throws
}

/// The same work on a store and on a bare client beside it, in pairs that take turns.
///
/// One caller unless said otherwise: `put` (one key, no compare), `guarded` (one key, compared with its revision), `get`,
/// `range` (a thousand keys); `writers` is 64 callers that put. Values have 1,200 bytes, as a machine's record.
struct StoreWork {
    private static let writers = 64

    /// `etcd://…`, or a folder for SQLite.
    let place: String
    let rounds: Int

    /// By `ours` or `bare`, work and figure (`rate` a second, `p50` and `p99` in seconds), one value a round.
    func run() async throws -> [String: [Double]] {
        let ours = try await Self.ours(place)
        let bare: any StoreSubject =
            place.hasPrefix("etcd://") ? try await BareEtcd(place) : try BareSQLite("\(place)/bare.sqlite")
        var result: [String: [Double]] = [:]
        for (index, subject) in [bare, ours].enumerated() {
            for number in 0..<1000 { try await subject.put("range/\(index)/\(number + 1000)", Self.value) }
        }
        for round in 0..<rounds {
            for (name, subject) in [("bare", bare), ("ours", ours)] {
                for (work, figures) in try await measure(subject, "\(name)-\(round)", name == "bare" ? 0 : 1) {
                    for (figure, value) in figures { result["\(name) \(work) \(figure)", default: []].append(value) }
                }
            }
        }
        try await ours.close()
        try await bare.close()
        return result
    }

    static let value = [UInt8](repeating: 0x78, count: 1200)

    /// A store on an address or in a folder.
    static func open(_ place: String) async throws -> any Store {
        if place.hasPrefix("etcd://") { return try await EtcdStore.open(try EtcdAddress(place)) }
        return try await SQLiteStore.open("\(place)/store.sqlite")
    }

    private static func ours(_ place: String) async throws -> any StoreSubject {
        OurStore(store: try await open(place))
    }

    private func measure(
        _ subject: any StoreSubject, _ name: String, _ index: Int
    ) async throws -> [String: [String: Double]] {
        var result: [String: [String: Double]] = [:]
        result["put"] = try await figures(500, callers: 1) { try await subject.put("\(name)/\($0)", Self.value) }
        let revision = Counter(try await subject.get("\(name)/0"))
        result["guarded"] = try await figures(500, callers: 1) { _ in
            revision.value = try await subject.replace("\(name)/0", Self.value, at: revision.value)
        }
        result["writers"] = try await figures(Self.writers * 50, callers: Self.writers) {
            try await subject.put("\(name)/w\($0)", Self.value)
        }
        result["get"] = try await figures(1000, callers: 1) { _ = try await subject.get("\(name)/\($0 % 500)") }
        result["range"] = try await figures(30, callers: 1) { _ in
            let count = try await subject.range("range/\(index)/")
            guard count == 1000 else { throw CoveyError(.failure, "\(count) keys were read instead of 1000") }
        }
        return result
    }

    /// Does something so often, by so many callers: first call to last answer, and each call by itself.
    private func figures(
        _ count: Int, callers: Int, _ work: @escaping @Sendable (Int) async throws -> Void
    ) async throws -> [String: Double] {
        var times: [Double] = []
        let whole = try await seconds {
            times = try await withThrowingTaskGroup(of: [Double].self) { group in
                for caller in 0..<callers {
                    group.addTask {
                        var own: [Double] = []
                        for number in stride(from: caller, to: count, by: callers) {
                            own.append(try await seconds { try await work(number) })
                        }
                        return own
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
        }
        times.sort()
        return [
            "rate": Double(count) / whole, "p50": times[times.count / 2], "p99": times[times.count * 99 / 100],
        ]
    }
}

/// A number that one caller after the other changes.
private final class Counter: @unchecked Sendable {
    // One caller has it at a time: each call is awaited before the next.
    var value: Int64
    init(_ value: Int64) { self.value = value }
}

/// A store of ours.
private struct OurStore: StoreSubject {
    let store: any Store

    func put(_ key: String, _ value: [UInt8]) async throws {
        _ = try await store.transact(Transaction(success: [.put(StoreKey(key), value)]))
    }

    func replace(_ key: String, _ value: [UInt8], at revision: Int64) async throws -> Int64 {
        let result = try await store.transact(
            Transaction(
                compares: [.modRevision(StoreKey(key), Revision(revision))], success: [.put(StoreKey(key), value)]))
        guard result.succeeded else { throw CoveyError(.conflict, "\(key) has another revision") }
        return result.revision.number
    }

    func get(_ key: String) async throws -> Int64 { try await store.get(StoreKey(key))?.modRevision.number ?? 0 }

    func range(_ prefix: String) async throws -> Int {
        try await store.range(StoreKey(prefix), from: nil, limit: nil, at: nil).entries.count
    }

    func close() async throws {
        if let etcd = store as? EtcdStore { await etcd.close() }
        if let sqlite = store as? SQLiteStore { try await sqlite.close() }
    }
}
