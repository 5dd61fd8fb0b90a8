internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveySQLiteStore
internal import CoveyStore
internal import CoveySystem

/// A store that is open: the only place that knows which there are.
struct OpenStore: Sendable {
    /// The store.
    let store: any Store
    /// Where it is, for people, with what is seen of it.
    let place: @Sendable () -> String
    /// What keeps it from serving, and for how long; nil for nothing.
    let trouble: @Sendable () -> (error: CoveyError, lasting: Duration)?
    /// Tells it which members its etcd has now; nothing for other stores.
    let follow: @Sendable ([EtcdEndpoint]) -> Void
    /// Closes it.
    let close: @Sendable () async throws -> Void

    /// Opens a store, whatever it says of itself.
    ///
    /// - Parameters:
    ///   - address: `etcd://…`; nil is the file in `folder`.
    ///   - member: Where the root's own member is reached; nil reads that where it matters.
    ///   - folder: The root's folder for state.
    static func open(_ address: String?, at member: EtcdAddress? = nil, folder: String) async throws -> OpenStore {
        guard let address else {
            let file = file(folder)
            let store = try await SQLiteStore.open(file)
            return OpenStore(
                store: store, place: { "the file \(file)" }, trouble: { store.trouble },
                follow: { _ in }, close: { try await store.close() })
        }
        let etcd = if let member { member } else { try Self.address(address, folder) }
        let store = try await EtcdStore.open(etcd)
        return OpenStore(
            store: store,
            place: {
                let members = store.health.members.map { member in
                    guard let version = member.version else { return "\(member.endpoint) does not answer" }
                    return "\(member.endpoint) \(version)\(member.isLeader ? ", leader" : "")"
                }
                return "\(etcd)\(members.isEmpty ? "" : " (\(members.joined(separator: "; ")))")"
            }, trouble: { store.health.trouble }, follow: { store.follow($0) }, close: { await store.close() })
    }

    private static func address(_ text: String, _ folder: String) throws -> EtcdAddress {
        text == StoreRecord.own ? try OwnMember.address(folder) : try EtcdAddress(text)
    }

    /// The file of a root whose state is in one.
    static func file(_ folder: String) -> String { "\(folder)/store.sqlite" }
}

/// Runs with a store, and closes it in any case.
func withStore<T: Sendable>(
    _ address: String?, folder: String, _ body: (any Store) async throws -> T
) async throws -> T {
    let open = try await OpenStore.open(address, folder: folder)
    let result: T
    do { result = try await body(open.store) } catch {
        try await open.close()
        throw error
    }
    try await open.close()
    return result
}
