internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveySQLiteStore
internal import CoveyStore
internal import CoveySystem

/// The store that a daemon was told to use: the only place that knows which there are.
struct StateStore: Sendable {
    /// The store.
    let store: any Store
    /// What people are to know of it, the first of them where its state is and whether it serves.
    let conditions: @Sendable (Timestamp) -> [Condition]
    /// Closes it.
    let close: @Sendable () async throws -> Void
    /// Held as long as it is open.
    private let lock: RootLock

    /// Opens a store.
    ///
    /// - Parameters:
    ///   - address: `etcd://…`; nil is the file in `folder`.
    ///   - folder: The root's folder for state.
    static func open(_ address: String?, folder: String) async throws -> StateStore {
        let lock = try await RootLock("\(folder)/daemon.lock")
        let file = "\(folder)/store.sqlite"
        guard let address else {
            let store = try await SQLiteStore.open(file)
            return StateStore(
                store: store,
                conditions: { now in conditions("the file \(file)", store.trouble, now) },
                close: { try await store.close() }, lock: lock)
        }
        let etcd = try EtcdAddress(address)
        let store = try await EtcdStore.open(etcd)
        return StateStore(
            store: store,
            conditions: { now in
                let members = store.health.members.map { member in
                    guard let version = member.version else { return "\(member.endpoint) does not answer" }
                    return "\(member.endpoint) \(version)\(member.isLeader ? ", leader" : "")"
                }
                let seen = members.isEmpty ? "" : " (\(members.joined(separator: "; ")))"
                return conditions("\(etcd)\(seen)", store.health.trouble, now)
            }, close: { await store.close() }, lock: lock)
    }

    private static func conditions(
        _ place: String, _ trouble: (error: CoveyError, lasting: Duration)?, _ now: Timestamp
    ) -> [Condition] {
        var conditions = [
            Condition(type: "Store", state: .yes, reason: "Open", message: "state is kept in \(place)", since: now)
        ]
        if let trouble {
            let remedy = trouble.error.remedy.map { "; \($0)" } ?? ""
            conditions.append(
                Condition(
                    type: "StoreWritable", state: .no, reason: trouble.error.code.rawValue,
                    message: trouble.error.description + remedy, since: now.advanced(by: .zero - trouble.lasting)))
        }
        return conditions
    }
}

/// Two daemons never share a root, whatever their stores are. Taken before anything else of the root.
final class RootLock: Sendable {
    private let file: FileDescriptor

    /// Takes the lock, or waits a moment for it: a daemon that was killed while it started a tool leaves its locks with
    /// that child until it execs. Errors: ``ErrorCode/conflict`` where another daemon has it.
    init(_ path: String) async throws {
        file = try openFile(path, [.readWrite, .create], mode: 0o600)
        let end = ContinuousClock.now + .seconds(2)
        while try !tryLock(file.raw) {
            guard ContinuousClock.now < end else {
                throw CoveyError(
                    .conflict, "the root of \(path) is in use by another daemon",
                    remedy: "stop that daemon, or give this one another --root")
            }
            // No event tells that a lock is free.
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}
