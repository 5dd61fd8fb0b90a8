internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials

/// Where a root's state is kept: the one place that says so. `store.json` in the root's folder for state.
struct StoreRecord: Hashable, Codable, Sendable {
    /// As ``name(of:)`` writes it.
    var store: String
    /// The lineage that was found there last.
    var incarnation: String

    private static func path(_ folder: String) -> String { "\(folder)/store.json" }

    /// The address of a member of the root's own.
    static let own = "etcd"

    /// The word for a store in records and for people: `sqlite`, `etcd`, or the address without its files.
    static func name(of address: String?) throws -> String {
        if address == own { return own }
        return try address.map { try EtcdAddress($0).description } ?? "sqlite"
    }

    /// Reads a root's record; nil where it has none yet. Errors: ``ErrorCode/corrupt``.
    static func load(_ folder: String) throws -> StoreRecord? {
        let path = path(folder)
        guard fileExists(path) else {
            // Roots that are older than the record.
            return fileExists("\(folder)/store.sqlite") ? StoreRecord(store: "sqlite", incarnation: "") : nil
        }
        do {
            return try JSONDecoder().decode(StoreRecord.self, from: Data(try readFile(path, limit: 65536)))
        } catch {
            throw CoveyError(
                .corrupt, "\(path) cannot be read: \(error)",
                remedy: "it says where the state is kept: remove it, and start the daemon on that store")
        }
    }

    /// Stores it.
    func save(_ folder: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try writeFileAtomically(StoreRecord.path(folder), Array(try encoder.encode(self)))
    }

    /// Throws ``ErrorCode/conflict`` where the state is kept in another store than this one.
    func check(_ address: String?) throws {
        guard try !isSame(address) else { return }
        throw CoveyError(
            .conflict, "the state of this root is kept in \(store), not in \(try StoreRecord.name(of: address))",
            remedy: "start it with --store \(store), or move the state: covey system move --to")
    }

    /// Whether an address may mean this store: members may come and go, a prefix stays.
    func isSame(_ address: String?) throws -> Bool {
        guard let address else { return store == "sqlite" }
        if store == "sqlite" || store == Self.own || address == Self.own { return store == address }
        return try EtcdAddress(address).prefix == EtcdAddress(store).prefix
    }

    /// Throws ``ErrorCode/conflict`` where a store of this name is of another lineage.
    func check(_ lineage: (incarnation: String, ancestors: [String])) throws {
        if incarnation.isEmpty || incarnation == lineage.incarnation || lineage.ancestors.contains(incarnation) {
            return
        }
        throw CoveyError(
            .conflict, "\(store) is not the store that this root's state was kept in: it has another lineage",
            remedy: "restore a backup (covey system restore), or remove store.json to go on with what is there")
    }
}
