internal import CoveyModel

/// Lists, then watches from the revision after the list, and lists again after a compaction.
actor Follower<Subject: Sendable> {
    private let store: any Store
    private let prefix: StoreKey
    private let list: @Sendable () async throws -> Listing<Subject>
    private let identify: @Sendable (StoreKey) -> Identifier<Subject>?
    private let read: @Sendable (Identifier<Subject>) async throws -> Subject
    private var answers: WatchStream.Iterator?
    private var touched: [StoreKey] = []

    /// A follower.
    ///
    /// - Parameters:
    ///   - prefix: The keys whose changes count.
    ///   - list: Reads all.
    ///   - identify: What a key is about; nil for a key that this program does not know.
    ///   - read: Reads one. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    init(
        store: any Store, prefix: StoreKey, list: @escaping @Sendable () async throws -> Listing<Subject>,
        identify: @escaping @Sendable (StoreKey) -> Identifier<Subject>?,
        read: @escaping @Sendable (Identifier<Subject>) async throws -> Subject
    ) {
        self.store = store
        self.prefix = prefix
        self.list = list
        self.identify = identify
        self.read = read
    }

    /// Waits for the next change. After an error it goes on where it was.
    func next() async throws -> Change<Subject> {
        while true {
            if let key = touched.first {
                let change = try await look(at: key)
                touched.removeFirst()
                if let change { return change }
                continue
            }
            guard let answers else {
                let listing = try await list()
                let stream = try await store.watch(prefix, from: listing.revision.next)
                self.answers = stream.makeAsyncIterator()
                return .listed(listing)
            }
            switch try await answers.next() {
            case .changes(let batch): touch(batch)
            case .compacted?, nil: self.answers = nil
            }
        }
    }

    private func touch(_ batch: WatchBatch) {
        var seen: Set<Identifier<Subject>> = []
        for event in batch.events {
            if let id = identify(event.key), !seen.insert(id).inserted { continue }
            touched.append(event.key)
        }
    }

    private func look(at key: StoreKey) async throws -> Change<Subject>? {
        guard let id = identify(key) else {
            return .setAside(nil, SetAside(key: key, reason: "the key is none that this program knows"))
        }
        do { return .updated(try await read(id)) } catch let error as CoveyError {
            switch error.code {
            case .notFound: return .removed(id)
            case .corrupt: return .setAside(id, SetAside(key: key, reason: error.description))
            case _: throw error
            }
        }
    }
}
