package import CoveyModel

/// Events. Each is written in the transaction of the change that it tells.
///
/// An event's id is made of its target, its reason and what sets it apart, so that a repetition finds the one before and
/// counts it up: a target has at most some dozen events, however often they come.
package struct Events: Sendable {
    /// Events stay so long after their last time,
    package static let retention = Duration.seconds(24 * 3600)
    /// and at most so many of them.
    package static let bound = 10_000

    let core: RepositoryCore

    /// Adds an event to a transaction.
    ///
    /// - Parameters:
    ///   - tenant: The target's tenant.
    ///   - isNew: Whether the target is made in this transaction, so that there is no event of it yet.
    func add(
        _ happening: Happening, about target: ResourceReference, _ targetID: String, tenant: String,
        isNew: Bool = false, _ draft: inout Draft
    ) async throws {
        let id = Events.id(targetID, happening)
        let key = KeySpace.event(tenant, id)
        let now = core.now()
        let entry = isNew ? nil : try await core.store.get(key)
        guard let entry else {
            let metadata = Metadata<Event>(id: id, name: id.description, tenant: tenant, createdAt: now)
            let event = Event(
                metadata: metadata, target: target, targetID: targetID, reason: happening.reason,
                message: happening.message, firstSeen: now, lastSeen: now)
            // Whoever comes first has it: two that are the same at once lose one count.
            return draft.put(key, try Event.format.encode(event))
        }
        guard var event = try Events.readable(entry) else { return }
        event.count += 1
        event.target = target
        event.message = happening.message
        event.lastSeen = now
        draft.put(key, try Event.format.encode(event, over: entry.value))
    }

    /// Adds several.
    func add(
        _ happenings: [Happening], about target: ResourceReference, _ targetID: String, tenant: String,
        isNew: Bool = false, _ draft: inout Draft
    ) async throws {
        var seen: Set<EventID> = []
        for happening in happenings where seen.insert(Events.id(targetID, happening)).inserted {
            try await add(happening, about: target, targetID, tenant: tenant, isNew: isNew, &draft)
        }
    }

    /// Stores what a node sees that is no change of a record.
    package func tell(
        _ happening: Happening, about target: ResourceReference, _ targetID: String, _ tenant: Tenant
    ) async throws {
        try await core.settle("telling an event of \(target)") { () async throws -> Void? in
            var draft = Draft()
            try await add(happening, about: target, targetID, tenant: tenant.description, &draft)
            return try await core.store.transact(draft.transaction).succeeded ? () : nil
        }
    }

    /// The events of a tenant, in the order of their last times.
    package func list(_ tenant: Tenant) async throws -> Listing<Event> {
        let (entries, revision) = try await core.store.list(KeySpace.events(tenant))
        var listing = Listing<Event>(items: [], setAside: [], revision: revision)
        for entry in entries {
            do { listing.items.append(try Event.read(entry)) } catch let error as CoveyError {
                listing.setAside.append(SetAside(key: entry.key, reason: error.description))
            }
        }
        listing.items.sort { ($0.lastSeen, $0.metadata.id) < ($1.lastSeen, $1.metadata.id) }
        return listing
    }

    /// The events of a tenant, and each new time of one.
    package func watch(_ tenant: Tenant) -> ChangeStream<Event> {
        let follower = Follower<Event>(
            store: core.store, prefix: KeySpace.events(tenant), list: { try await list(tenant) },
            identify: { KeySpace.event($0) },
            read: { id in
                guard let entry = try await core.store.get(KeySpace.event(tenant.description, id)) else {
                    throw CoveyError.notFound("event", id.description)
                }
                return try Event.read(entry)
            })
        return ChangeStream { try await follower.next() }
    }

    /// Removes events that are older than ``retention`` or beyond ``bound``. Returns how many.
    @discardableResult
    package func prune() async throws -> Int {
        let oldest = core.now().advanced(by: .zero - Events.retention)
        // One that cannot be read stays.
        let events = try await core.store.list(KeySpace.allEvents).entries.compactMap { entry in
            try Events.readable(entry).map { (entry: entry, event: $0) }
        }.sorted { $0.event.lastSeen > $1.event.lastSeen }
        let gone = events.enumerated().filter { $0 >= Events.bound || $1.event.lastSeen < oldest }.map(\.element.entry)
        for start in stride(from: 0, to: gone.count, by: Transaction.operationLimit) {
            var draft = Draft()
            for entry in gone[start...].prefix(Transaction.operationLimit) { draft.delete(entry.key) }
            _ = try await core.settle("pruning events") { try await core.store.transact(draft.transaction) }
        }
        return gone.count
    }

    private static func readable(_ entry: StoreEntry) throws -> Event? {
        do { return try Event.read(entry) } catch let error as CoveyError where error.code == .corrupt { return nil }
    }

    private static func id(_ target: String, _ happening: Happening) -> EventID {
        let parts = [target, happening.reason.rawValue, happening.detail].map { Array($0.utf8) }
        let high = UInt64(RecordCoding.digest(parts), radix: 16) ?? 0
        let low = UInt64(RecordCoding.digest([[0]] + parts), radix: 16) ?? 0
        return EventID(high: high, low: low)
    }
}

extension Event {
    static let format = RecordFormat<Event>("event")

    static func read(_ entry: StoreEntry) throws -> Event {
        do {
            var event = try format.decode(entry.value)
            event.metadata.revision = entry.modRevision.number
            return event
        } catch let error as CoveyError { throw error.with(context: entry.key.text) }
    }
}
