internal import CoveyModel

/// Fills a store with the keys of another: of a backup, or of the store that is moved.
///
/// While it is under way the store carries a mark, and nobody opens it; the last transaction takes the mark off and
/// gives it a new incarnation that names the old one. So a store is filled wholly or cannot be used.
package struct StoreFilling: Sendable {
    private let store: any Store

    /// Into a store.
    package init(_ store: any Store) { self.store = store }

    /// Whether there is nothing in the store that somebody may miss: nothing at all, a filling that was not
    /// finished, or what was moved elsewhere.
    package func isFree() async throws -> Bool {
        let (marks, _) = try await store.get(all: [KeySpace.filling, KeySpace.moved])
        if marks.contains(where: { $0 != nil }) { return true }
        let page = try await store.range("", from: nil, limit: 3, at: nil)
        return page.entries.allSatisfy { KeySpace.ofOneStore.contains($0.key) || $0.key == KeySpace.format }
    }

    /// Marks the store, and empties it.
    ///
    /// - Parameter what: Who fills it, for people.
    package func begin(_ what: String) async throws {
        try await settled(
            Transaction(success: [.put(KeySpace.filling, Array(what.utf8)), .delete(KeySpace.moved)]))
        while true {
            let page = try await store.range("", from: nil, limit: Transaction.operationLimit, at: nil)
            let gone = page.entries.filter { !KeySpace.ofOneStore.contains($0.key) }
            if gone.isEmpty && page.next == nil { return }
            if gone.isEmpty { throw CoveyError(.internalError, "the store has \(page.entries.count) keys of its own") }
            try await settled(Transaction(success: gone.map { .delete($0.key) }))
        }
    }

    /// Writes entries.
    package func write(_ entries: [(key: StoreKey, value: [UInt8])]) async throws {
        var operations: [StoreOperation] = []
        var size = 0
        for entry in entries {
            let more = entry.key.count + entry.value.count
            if operations.count == Transaction.operationLimit || size + more > Transaction.sizeLimit / 2,
                !operations.isEmpty
            {
                try await settled(Transaction(success: operations))
                (operations, size) = ([], 0)
            }
            operations.append(.put(entry.key, entry.value))
            size += more
        }
        if !operations.isEmpty { try await settled(Transaction(success: operations)) }
    }

    /// Makes the store one that can be opened.
    ///
    /// - Parameters:
    ///   - incarnation: The new lineage.
    ///   - origin: What the keys were taken from.
    ///   - replaced: The lineage of what was there before; nil where nobody kept state in it.
    package func publish(_ incarnation: String, of origin: BackupHeader, replacing replaced: String? = nil) async throws
    {
        var ancestors = origin.ancestors + [origin.incarnation]
        if let replaced, !ancestors.contains(replaced) { ancestors.append(replaced) }
        ancestors = ancestors.suffix(KeySpace.mostAncestors)
        try await settled(
            Transaction(success: [
                .put(.incarnation, Array(incarnation.utf8)),
                .put(KeySpace.ancestors, Array(ancestors.joined(separator: "\n").utf8)), .delete(KeySpace.filling),
            ]))
    }

    /// Says in a store that its state lives elsewhere; nobody opens it from then on.
    package func leave(for place: String) async throws {
        try await settled(Transaction(success: [.put(KeySpace.moved, Array(place.utf8))]))
    }

    /// Takes back that a store's state lives elsewhere.
    package func comeBack() async throws {
        try await settled(Transaction(success: [.delete(KeySpace.moved)]))
    }

    /// Each of these writes may be done twice, so one whose outcome is unknown is repeated.
    private func settled(_ transaction: Transaction) async throws {
        var last = CoveyError(.internalError, "nothing was tried")
        for _ in 0..<5 {
            do {
                _ = try await store.transact(transaction)
                return
            } catch let error as CoveyError where error.code == .outcomeUnknown { last = error }
        }
        throw last
    }
}

extension Store {
    /// Throws where a store cannot be used: it is being filled, or its state was moved elsewhere.
    package func checkUsable() async throws {
        let (marks, _) = try await get(all: [KeySpace.filling, KeySpace.moved])
        if let filling = marks[0] {
            throw CoveyError(
                .conflict, "the store is not whole: \(filling.text) was not finished",
                remedy: "finish it, with the same command")
        }
        if let moved = marks[1] {
            throw CoveyError(
                .conflict, "the state of this store was moved to \(moved.text)",
                remedy: "start the daemon with --store \(moved.text), or move it back: covey system move")
        }
    }

    /// The lineage, and those before it.
    package func lineage() async throws -> (incarnation: String, ancestors: [String]) {
        let (meta, _) = try await get(all: [.incarnation, KeySpace.ancestors])
        guard let incarnation = meta[0] else {
            throw CoveyError(.corrupt, "the store has no \(StoreKey.incarnation)", remedy: "restore a backup")
        }
        return (incarnation.text, meta[1].map { $0.text.split(separator: "\n").map(String.init) } ?? [])
    }
}
