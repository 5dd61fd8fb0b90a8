internal import CoveyModel

extension StoreKey {
    /// Holds the random id of the store's lineage; written with the store's first revision.
    package static let incarnation: StoreKey = "meta/incarnation"
}

extension Store {
    /// The random id of this store's lineage; another one after a restore or a reset, when no older revision
    /// or cached compare value means anything any more. Compare ``StoreKey/incarnation`` with it in a transaction
    /// that must not cross a restore.
    package func incarnation() async throws -> String {
        guard let entry = try await get(.incarnation) else {
            throw CoveyError(.corrupt, "the store has no \(StoreKey.incarnation)", remedy: "restore a backup")
        }
        return String(decoding: entry.value, as: UTF8.self)
    }

    /// Begins a new lineage: for whoever restores or resets a store.
    package func renewIncarnation(_ id: String) async throws {
        _ = try await transact(Transaction(success: [.put(.incarnation, Array(id.utf8))]))
    }

    /// All entries under a prefix at one revision, read in pages; it begins anew where a compaction overtakes it.
    ///
    /// - Parameter pageSize: Entries a page.
    /// - Throws: ``CompactedError`` after five beginnings.
    package func list(_ prefix: StoreKey, pageSize: Int = 500) async throws -> (
        entries: [StoreEntry], revision: Revision
    ) {
        var attempt = 1
        while true {
            do {
                var page = try await range(prefix, from: nil, limit: pageSize, at: nil)
                var entries = page.entries
                while let next = page.next {
                    page = try await range(prefix, from: next, limit: pageSize, at: page.revision)
                    entries += page.entries
                }
                return (entries, page.revision)
            } catch let error as CompactedError {
                if attempt == 5 { throw error }
                attempt += 1
            }
        }
    }

    /// Several keys as they stand at one moment.
    package func get(all keys: [StoreKey]) async throws -> (entries: [StoreEntry?], revision: Revision) {
        let result = try await transact(Transaction(success: keys.map { .get($0) }))
        let entries = result.results.map { answer -> StoreEntry? in
            if case .got(let entry) = answer { entry } else { nil }
        }
        return (entries, result.revision)
    }

    /// Forgets, again and again, the history that is older than `interval`, until it is cancelled.
    package func compactRegularly(
        every interval: Duration = .seconds(300), clock: any Clock<Duration> = ContinuousClock(),
        failed: @Sendable (any Error) -> Void = { _ in }
    ) async throws {
        var older = try await currentRevision()
        while true {
            try await clock.sleep(for: interval)
            do {
                try await compact(older)
                older = try await currentRevision()
            } catch {
                if error is CancellationError { throw error }
                failed(error)
            }
        }
    }
}
