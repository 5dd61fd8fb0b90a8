/// A change of a key.
package enum StoreEvent: Hashable, Sendable {
    /// The key was written.
    case put(StoreEntry)
    /// The key was deleted.
    case delete(StoreKey)

    /// The key that changed.
    package var key: StoreKey {
        switch self {
        case .put(let entry): entry.key
        case .delete(let key): key
        }
    }
}

/// What one transaction changed.
package struct WatchBatch: Hashable, Sendable {
    /// The transaction's revision.
    package var revision: Revision
    /// The changes in the order of the transaction's operations; never empty.
    package var events: [StoreEvent]

    /// Puts the parts together.
    package init(revision: Revision, events: [StoreEvent]) {
        self.revision = revision
        self.events = events
    }
}

/// What a watch answers.
package enum WatchAnswer: Hashable, Sendable {
    /// One transaction's changes; revisions rise and none is left out.
    case changes(WatchBatch)
    /// History that this watcher has not seen is gone, because it asked too late or was too slow:
    /// list again and watch from there. The last answer of a stream.
    case compacted(Revision)
}

/// The answers of a watch. It ends only after ``WatchAnswer/compacted(_:)``; cancelling the reader throws
/// `CancellationError`, a closed store ``ErrorCode/unavailable``.
///
/// A store holds no queue for a watcher: each answer is taken from the history when it is asked for, so a slow
/// reader costs no memory, and one that is too slow meets a compaction.
package struct WatchStream: AsyncSequence, Sendable {
    package typealias Element = WatchAnswer

    private let answer: @Sendable () async throws -> WatchAnswer?

    /// A stream from a function that waits for the next answer; nil is the end. It is called by one reader at a time.
    package init(_ answer: @escaping @Sendable () async throws -> WatchAnswer?) { self.answer = answer }

    /// Reads the answers; one stream has one reader.
    package struct Iterator: AsyncIteratorProtocol {
        fileprivate let answer: @Sendable () async throws -> WatchAnswer?

        /// Waits for the next answer.
        package func next() async throws -> WatchAnswer? { try await answer() }
    }

    package func makeAsyncIterator() -> Iterator { Iterator(answer: answer) }
}
