internal import CoveyModel
internal import Synchronization

/// What all repositories of one store share.
struct RepositoryCore: Sendable {
    /// The store.
    let store: any Store
    /// Makes ids.
    let ids: IdentifierSource
    /// The wall clock.
    let now: @Sendable () -> Timestamp
    /// Waits a little after a lost attempt, counted from 0.
    let pause: @Sendable (_ attempt: Int) async throws -> Void
    /// The uid slots that calls of this process are about to take.
    let slots = SlotReservations()

    private static let attempts = 32
    private static let unknownOutcomes = 5

    /// Repeats an attempt until it has a result: a lost compare answers nil, and an unknown outcome is followed by
    /// another attempt, which reads first what became of the one before.
    func settle<T>(_ what: String, _ attempt: () async throws -> T?) async throws -> T {
        var unknown: [CoveyError] = []
        for number in 0..<RepositoryCore.attempts {
            do {
                if let result = try await attempt() { return result }
                try await pause(number)
            } catch let error as CoveyError where error.code == .outcomeUnknown {
                unknown.append(error)
                if unknown.count == RepositoryCore.unknownOutcomes { throw error }
            } catch let error as CoveyError where error.code == .unavailable {
                throw unknown.first ?? error
            } catch let error as CancellationError {
                throw unknown.first ?? error
            }
        }
        throw unknown.first
            ?? CoveyError(
                .conflict, "\(what) lost against other changes \(RepositoryCore.attempts) times",
                remedy: "try again", retryable: true)
    }

    /// Tells the content of one request to create something from another's.
    func digest(
        _ kind: OperationKind, _ name: String, _ labels: [String: String], _ spec: some Encodable
    ) throws -> String {
        RecordCoding.digest([
            Array(kind.rawValue.utf8), Array(name.utf8), try RecordCoding.encode(labels), try RecordCoding.encode(spec),
        ])
    }

    /// Waits up to 2, 4, … 64 ms, by chance; not at all after the first attempt.
    static let jitter: @Sendable (Int) async throws -> Void = { attempt in
        guard attempt > 0 else { return }
        try await Task.sleep(for: .microseconds(Int.random(in: 0..<(1000 << min(attempt, 6)))))
    }
}

/// The uid slots that calls of this process are about to take, so that they do not all try the same; and what is
/// remembered of those that are used, so that not every call reads them all. The compare on absence alone decides.
final class SlotReservations: Sendable {
    private struct Node {
        var used: Set<Int> = []
        var next = 0
        var isKnown = false
    }

    private let nodes = Mutex<[NodeID: Node]>([:])

    /// Reserves a slot that is not known to be used; nil where ``learn(_:used:)`` has to tell first what is.
    func take(_ node: NodeID, limit: Int) -> Int? {
        nodes.withLock { nodes in
            guard var known = nodes[node], known.isKnown else { return nil }
            defer { nodes[node] = known }
            // Going round keeps a uid from being given again at once.
            for offset in 0..<limit where !known.used.contains((known.next + offset) % limit) {
                let slot = (known.next + offset) % limit
                known.used.insert(slot)
                known.next = slot + 1
                return slot
            }
            known.isKnown = false
            return nil
        }
    }

    /// Says which slots are used.
    func learn(_ node: NodeID, used: Set<Int>) {
        nodes.withLock { nodes in
            nodes[node, default: Node()].used = used
            nodes[node]?.isKnown = true
        }
    }

    /// Another one has the slot: what is remembered is out of date.
    func forget(_ node: NodeID) { nodes.withLock { $0[node]?.isKnown = false } }
}

/// A transaction that is being put together.
struct Draft {
    var compares: [Compare] = []
    var operations: [StoreOperation] = []
    var probes: [StoreOperation] = []

    /// Writes a key that must not be there.
    mutating func create(_ key: StoreKey, _ value: [UInt8]) {
        compares.append(.absent(key))
        operations.append(.put(key, value))
    }

    /// Writes a key that must stand as it was read.
    mutating func replace(_ entry: StoreEntry, _ value: [UInt8]) {
        expect(entry)
        operations.append(.put(entry.key, value))
    }

    /// Writes a key whatever is there.
    mutating func put(_ key: StoreKey, _ value: [UInt8]) { operations.append(.put(key, value)) }

    /// Deletes a key whatever is there.
    mutating func delete(_ key: StoreKey) { operations.append(.delete(key)) }

    /// Asks that a key stands as it was read.
    mutating func expect(_ entry: StoreEntry) { compares.append(.modRevision(entry.key, entry.modRevision)) }

    var transaction: Transaction { Transaction(compares: compares, success: operations, failure: probes) }
}
