internal import CoveyModel
internal import CoveyStore

/// Makes whole revisions of a watch's responses: each once, in order, however they are cut and repeated.
/// A value without connections.
struct WatchAssembly: Sendable {
    /// The first revision that was not given yet: where a new stream goes on.
    private(set) var next: Revision
    private let keys: EtcdKeys
    /// A revision whose events have not all come.
    private var partial: WatchBatch?

    init(from next: Revision, keys: EtcdKeys) {
        self.next = next
        self.keys = keys
    }

    /// A new stream has begun at ``next``: what came in part comes again.
    mutating func begin() { partial = nil }

    /// Takes a response's events. Errors: ``ErrorCode/unavailable`` for events out of order, after which a new
    /// stream is to begin; ``ErrorCode/corrupt``.
    mutating func take(_ events: [Mvccpb_Event], isFragment: Bool) throws(CoveyError) -> [WatchBatch] {
        var whole: [WatchBatch] = []
        for event in events {
            let revision = Revision(event.kv.modRevision)
            // Some servers repeat events, or begin before the revision that was asked for.
            if revision < next { continue }
            if let open = partial, open.revision != revision {
                guard revision > open.revision else {
                    throw CoveyError(.unavailable, "etcd sent revision \(revision) after \(open.revision)")
                }
                whole.append(open)
                next = open.revision.next
                partial = nil
            }
            partial = partial ?? WatchBatch(revision: revision, events: [])
            partial?.events.append(try keys.event(event))
        }
        if !isFragment, let open = partial {
            whole.append(open)
            next = open.revision.next
            partial = nil
        }
        return whole
    }

    /// All events up to a revision have come.
    mutating func advance(to revision: Revision) {
        if partial == nil && revision >= next { next = revision.next }
    }
}
