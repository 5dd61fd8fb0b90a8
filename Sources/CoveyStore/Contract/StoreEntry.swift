/// A key with its value and where it stands in the store's history.
package struct StoreEntry: Hashable, Sendable {
    /// The key.
    package var key: StoreKey
    /// The value.
    package var value: [UInt8]
    /// The revision that made the key, since its last deletion.
    package var createRevision: Revision
    /// The revision that wrote it last.
    package var modRevision: Revision
    /// How often it was written since it was made, from 1.
    package var version: Int64
    /// The lease that it ends with; nil for one that stays.
    package var lease: LeaseID?

    /// Puts the parts together.
    package init(
        key: StoreKey, value: [UInt8], createRevision: Revision, modRevision: Revision, version: Int64,
        lease: LeaseID? = nil
    ) {
        self.key = key
        self.value = value
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
        self.lease = lease
    }
}

/// One page of a range.
package struct RangePage: Hashable, Sendable {
    /// The entries in the order of their keys.
    package var entries: [StoreEntry]
    /// The revision that was read; give it for the next page, and watch from the one after it.
    package var revision: Revision
    /// The key where the next page begins; nil where this was the last one.
    package var next: StoreKey?

    /// Puts the parts together.
    package init(entries: [StoreEntry], revision: Revision, next: StoreKey?) {
        self.entries = entries
        self.revision = revision
        self.next = next
    }
}

/// The history that was asked for is gone: list again and go on from there.
package struct CompactedError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The oldest revision that can still be read.
    package var revision: Revision

    /// Says from where the history is there.
    package init(revision: Revision) { self.revision = revision }

    /// One line for people.
    package var description: String { "the store's history before revision \(revision) was compacted" }
}
