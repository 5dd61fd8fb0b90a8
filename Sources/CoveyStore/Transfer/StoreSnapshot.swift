internal import CoveyModel

/// All keys of a store at one revision, but those that belong to it alone: leases with their keys, and its lineage.
package struct StoreSnapshot: Sendable {
    /// What it says of itself.
    package let header: BackupHeader
    private let store: any Store
    private let first: RangePage

    private static let pageSize = 200

    /// Begins a snapshot at the newest revision. It has to be read before that is compacted: some minutes.
    ///
    /// - Parameters:
    ///   - store: The store.
    ///   - node: The node of the daemon root; nil where nobody knows.
    ///   - instance: The daemon root's instance.
    package init(of store: any Store, node: String? = nil, instance: String? = nil) async throws {
        let first = try await store.range("", from: nil, limit: Self.pageSize, at: nil)
        let (meta, _) = try await store.get(all: [.incarnation, KeySpace.ancestors, KeySpace.format])
        guard let incarnation = meta[0] else {
            throw CoveyError(.corrupt, "the store has no \(StoreKey.incarnation)", remedy: "restore a backup")
        }
        let format = try meta[2].map { try StoreFormat.format.decode($0.value) }
        header = BackupHeader(
            version: BackupHeader.current, format: format?.oldest ?? StoreFormat.current,
            program: format?.program ?? CoveyVersion.current, incarnation: incarnation.text,
            ancestors: meta[1].map { $0.text.split(separator: "\n").map(String.init) } ?? [],
            revision: first.revision.number, node: node, instance: instance)
        self.store = store
        self.first = first
    }

    /// Gives all entries, page by page, in the order of their keys.
    /// Errors: ``ErrorCode/unavailable`` where history went away meanwhile; what the store and `body` throw.
    package func pages(_ body: ([StoreEntry]) async throws -> Void) async throws {
        var page = first
        while true {
            try await body(page.entries.filter { $0.lease == nil && !KeySpace.ofOneStore.contains($0.key) })
            guard let next = page.next else { return }
            do {
                page = try await store.range("", from: next, limit: Self.pageSize, at: page.revision)
            } catch is CompactedError {
                throw CoveyError(
                    .unavailable, "the store forgot revision \(page.revision) while it was read", remedy: "try again")
            }
        }
    }

    /// What tells this snapshot's entries from others: equal for equal keys and values, whatever their revisions.
    package func digest() async throws -> [UInt8] {
        var encoder = BackupEncoder()
        try await pages { entries in
            for entry in entries { _ = encoder.entry(entry.key, entry.value) }
        }
        return encoder.finish()
    }

    /// The snapshot as a backup, piece by piece.
    package func encoded(_ output: ([UInt8]) async throws -> Void) async throws {
        var encoder = BackupEncoder()
        try await output(try encoder.header(header))
        try await pages { entries in
            for entry in entries { try await output(encoder.entry(entry.key, entry.value)) }
        }
        try await output(encoder.finish())
    }
}

extension StoreEntry {
    /// The value as text.
    var text: String { String(decoding: value, as: UTF8.self) }
}
