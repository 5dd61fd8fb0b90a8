internal import CoveyModel
internal import CoveyStore
internal import CoveyTesting
internal import Synchronization

/// Repositories over a memory store, with a clock and ids that repeat.
struct Fixture: Sendable {
    let store: MemoryStore
    let repositories: Repositories
    let node: NodeID
    let time: TestTime

    var machines: Machines { repositories.machines }

    init(store: MemoryStore = MemoryStore()) async throws { try await self.init(store, over: store) }

    /// Repositories over another store, which stands on one in memory of its own.
    init(over other: any Store) async throws { try await self.init(MemoryStore(), over: other) }

    private init(_ store: MemoryStore, over other: any Store) async throws {
        let time = TestTime()
        let ids = IdentifierSource(time: { time.now() }, random: { time.random() })
        self.store = store
        self.time = time
        repositories = try await Repositories.open(
            other, ids: ids, now: { time.now() }, pause: { _ in await Task.yield() })
        node = NodeID(time: time.now(), random: (1, 2))
    }

    func create(_ name: String, request: String? = nil) async throws -> VirtualMachine {
        try await machines.create(
            .standard, name: name, spec: MachineSpec(image: "debian"), node: node,
            requestID: request ?? "create \(name)"
        ).machine
    }
}

/// A wall clock that moves by a millisecond with each look, and random numbers that repeat.
final class TestTime: Sendable {
    private let state = Mutex((milliseconds: Int64(1_700_000_000_000), random: SeededGenerator(seed: 7)))

    func now() -> Timestamp {
        state.withLock { state in
            state.milliseconds += 1
            return Timestamp(milliseconds: state.milliseconds)
        }
    }

    func random() -> (UInt64, UInt64) { state.withLock { ($0.random.next(), $0.random.next()) } }

    func advance(by duration: Duration) { state.withLock { $0.milliseconds += duration.wholeMilliseconds } }
}

extension MemoryStore {
    /// The keys under a prefix.
    func keys(_ prefix: StoreKey) async throws -> [String] { try await list(prefix).entries.map(\.key.text) }

    /// The text under a key; empty where there is nothing.
    func text(_ key: StoreKey) async throws -> String {
        try await get(key).map { String(decoding: $0.value, as: UTF8.self) } ?? ""
    }

    /// Writes a text under a key.
    @discardableResult
    func put(_ key: StoreKey, _ text: String) async throws -> Revision {
        try await transact(Transaction(success: [.put(key, Array(text.utf8))])).revision
    }
}

/// The code that a call fails with; nil where it does not.
func code(_ body: () async throws -> Void) async -> ErrorCode? {
    do {
        try await body()
        return nil
    } catch { return (error as? CoveyError)?.code }
}
