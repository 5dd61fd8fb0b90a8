internal import CoveyStore

/// The simplest thing that behaves as a store does: every revision is kept whole.
struct StoreModel {
    private(set) var states: [[StoreKey: StoreEntry]] = [[:]]
    private(set) var batches: [WatchBatch] = []
    /// The revision of the real store when the model was empty.
    let base: Revision

    init(base: Revision) { self.base = base }

    var revision: Revision { Revision(base.number + Int64(states.count - 1)) }
    var now: [StoreKey: StoreEntry] { states[states.count - 1] }

    func entries(_ prefix: StoreKey, at revision: Revision) -> [StoreEntry] {
        states[Int(revision.number - base.number)].values.filter { $0.key.hasPrefix(prefix) }
            .sorted { $0.key < $1.key }
    }

    mutating func transact(_ transaction: Transaction) -> TransactionResult {
        let succeeded = transaction.compares.allSatisfy { compare in
            switch compare {
            case .exists(let key): now[key] != nil
            case .absent(let key): now[key] == nil
            case .createRevision(let key, let wanted): (now[key]?.createRevision ?? .zero) == wanted
            case .modRevision(let key, let wanted): (now[key]?.modRevision ?? .zero) == wanted
            case .value(let key, let value): now[key].map { $0.value == value } ?? false
            case .prefixEmpty(let prefix): !now.keys.contains { $0.hasPrefix(prefix) }
            }
        }
        var state = now
        var events: [StoreEvent] = []
        var results: [OperationResult] = []
        for operation in succeeded ? transaction.success : transaction.failure {
            switch operation {
            case .put(let key, let value, _):
                let entry = StoreEntry(
                    key: key, value: value, createRevision: state[key]?.createRevision ?? revision.next,
                    modRevision: revision.next, version: (state[key]?.version ?? 0) + 1)
                state[key] = entry
                events.append(.put(entry))
                results.append(.put)
            case .delete(let key):
                let old = state.removeValue(forKey: key)
                if old != nil { events.append(.delete(key)) }
                results.append(.deleted(old != nil))
            case .get(let key): results.append(.got(state[key]))
            }
        }
        if !events.isEmpty {
            batches.append(WatchBatch(revision: revision.next, events: events))
            states.append(state)
        }
        return TransactionResult(succeeded: succeeded, revision: revision, results: results)
    }

    func changes(_ prefix: StoreKey, from: Revision) -> [WatchBatch] {
        batches.filter { $0.revision >= from }.compactMap { batch in
            let events = batch.events.filter { $0.key.hasPrefix(prefix) }
            return events.isEmpty ? nil : WatchBatch(revision: batch.revision, events: events)
        }
    }
}
