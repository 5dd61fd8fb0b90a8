internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import Logging

/// The store that a daemon was told to use, and that its root's state is kept in.
struct StateStore: Sendable {
    /// The store.
    var store: any Store { open.store }
    private let open: OpenStore

    /// How long a daemon waits for an etcd that does not answer, before it ends.
    static let patience = Duration.seconds(600)

    /// Opens a store. One on etcd that does not answer is waited for.
    ///
    /// - Parameters:
    ///   - address: `etcd://…`; nil is the file in `folder`.
    ///   - member: Where the root's own member is reached.
    ///   - folder: The root's folder for state, whose lock the caller holds.
    /// - Throws: ``ErrorCode/conflict`` where the root's state is kept elsewhere, or the store is not whole.
    static func open(
        _ address: String?, at member: EtcdAddress? = nil, folder: String, logger: Logger
    ) async throws -> StateStore {
        let record = try StoreRecord.load(folder)
        try record?.check(address)
        let open = try await awaited(address, member, folder, logger)
        do {
            try await open.store.checkUsable()
            let lineage = try await open.store.lineage()
            try record?.check(lineage)
            let found = StoreRecord(store: try StoreRecord.name(of: address), incarnation: lineage.incarnation)
            if found != record { try found.save(folder) }
        } catch {
            try await open.close()
            throw error
        }
        return StateStore(open: open)
    }

    private static func awaited(
        _ address: String?, _ member: EtcdAddress?, _ folder: String, _ logger: Logger
    ) async throws -> OpenStore {
        let clock = ContinuousClock()
        let end = clock.now + patience
        var told: ContinuousClock.Instant?
        while true {
            do { return try await OpenStore.open(address, at: member, folder: folder) } catch let error as CoveyError
                where error.code == .unavailable && address != nil && clock.now < end
            {
                if told.map({ $0.duration(to: clock.now) > .seconds(30) }) ?? true {
                    logger.warning(
                        "the store does not answer yet; the daemon waits for it",
                        metadata: [
                            "error": "\(error)", "seconds left": "\(clock.now.duration(to: end).components.seconds)",
                        ])
                    told = clock.now
                }
                try await clock.sleep(for: .milliseconds(500))
            }
        }
    }

    /// Asks these members of its etcd, and no others.
    func follow(_ endpoints: [EtcdEndpoint]) { open.follow(endpoints) }

    /// Closes it.
    func close() async throws { try await open.close() }

    /// What people are to know of it, the first of them where its state is.
    func conditions(_ now: Timestamp) -> [Condition] {
        var conditions = [
            Condition(
                type: "Store", state: .yes, reason: "Open", message: "state is kept in \(open.place())", since: now)
        ]
        if let trouble = open.trouble() {
            let remedy = trouble.error.remedy.map { "; \($0)" } ?? ""
            conditions.append(
                Condition(
                    type: "StoreWritable", state: .no, reason: trouble.error.code.rawValue,
                    message: trouble.error.description + remedy, since: now.advanced(by: .zero - trouble.lasting)))
        }
        return conditions
    }
}
