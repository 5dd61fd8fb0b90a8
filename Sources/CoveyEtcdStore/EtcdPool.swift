internal import CoveyModel
internal import CoveyStore
internal import Synchronization

/// The connections to all members, made as they are needed, and which member is asked.
final class EtcdPool: Sendable {
    private struct Slot: Hashable {
        var lane: EtcdLane
        var index: Int
    }

    private struct State {
        var address: EtcdAddress
        var book: EndpointBook
        var connections: [Slot: EtcdConnection] = [:]
        var isClosed = false
        /// The cluster that answered first; another one is not ours.
        var cluster: UInt64?
        /// The newest revision that any answer had.
        var newest = Revision.zero
        /// The versions of the members that are known to be ours.
        var versions: [Int: String] = [:]
        /// Until when it is known that there is no space.
        var noSpace = Duration.zero
    }

    /// The members that are known; later ones come at its end.
    var address: EtcdAddress { state.withLock { $0.address } }
    let times: EtcdTimes
    let clock: StoreClock
    private let state: Mutex<State>

    init(_ address: EtcdAddress, times: EtcdTimes, clock: StoreClock) {
        self.times = times
        self.clock = clock
        state = Mutex(State(address: address, book: EndpointBook(count: address.endpoints.count)))
    }

    /// Learns of members that came later, and that others are gone: those are asked no more.
    func follow(_ endpoints: [EtcdEndpoint]) {
        guard !endpoints.isEmpty else { return }
        state.withLock { state in
            for endpoint in endpoints where !state.address.endpoints.contains(endpoint) {
                state.address.endpoints.append(endpoint)
                state.book.extend()
            }
            for (index, endpoint) in state.address.endpoints.enumerated() {
                state.book.retire(index, !endpoints.contains(endpoint))
            }
        }
    }

    /// The numbers of the members that are asked.
    var active: [Int] {
        state.withLock { state in state.address.endpoints.indices.filter { !state.book.isRetired($0) } }
    }

    /// The newest revision that any answer had: a read that is sent now and answers less is stale.
    var newest: Revision { state.withLock { $0.newest } }

    /// Whether it was closed.
    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Closes all connections, for good.
    func close() {
        let connections = state.withLock { state in
            defer { state.connections = [:] }
            state.isClosed = true
            return Array(state.connections.values)
        }
        for connection in connections { connection.close() }
    }

    /// The member to ask, after a pause where all have failed.
    func choose() async throws -> Int {
        let now = clock.elapsed()
        let (index, wait) = state.withLock { $0.book.choose(now: now) }
        if wait > .zero { try await clock.sleep(now + wait) }
        return index
    }

    /// The connection to a member.
    /// Errors: ``ErrorCode/unavailable`` after ``close()``; ``ErrorCode/invalid`` for files of TLS.
    func connection(_ lane: EtcdLane, _ index: Int) throws -> EtcdConnection {
        try state.withLock { state in
            if state.isClosed { throw EtcdPool.closed }
            let slot = Slot(lane: lane, index: index)
            if let connection = state.connections[slot], connection.isUsable { return connection }
            let connection = try EtcdConnection(
                state.address.endpoints[index], tls: state.address.tls)
            state.connections[slot] = connection
            return connection
        }
    }

    /// A member answered.
    func worked(_ index: Int) { state.withLock { $0.book.worked(index) } }

    /// A member did not.
    func failed(_ index: Int) {
        let now = clock.elapsed()
        state.withLock { state in
            state.book.failed(index, now: now)
            // It may come back as a learner, or of another cluster.
            state.versions[index] = nil
        }
    }

    /// Looks at an answer's header: whether it came from our cluster.
    func isOurs(_ header: Etcdserverpb_ResponseHeader) -> Bool {
        state.withLock { state in
            if state.cluster == nil { state.cluster = header.clusterID }
            guard state.cluster == header.clusterID else { return false }
            state.newest = max(state.newest, Revision(header.revision))
            return true
        }
    }

    /// Whether a member is known to be of our cluster.
    func isKnown(_ index: Int) -> Bool { state.withLock { $0.versions[index] != nil } }

    /// A member is of our cluster.
    func learn(_ index: Int, version: String) { state.withLock { $0.versions[index] = version } }

    /// The version of a member; nil where it has not answered yet.
    func version(_ index: Int) -> String? { state.withLock { $0.versions[index] } }

    /// Whether the cluster's alarm for space was seen within the last 2 s.
    var isAlarmKnown: Bool {
        let now = clock.elapsed()
        return state.withLock { $0.noSpace > now }
    }

    /// The cluster's alarm for space was seen now.
    func noteAlarm() {
        let now = clock.elapsed()
        state.withLock { $0.noSpace = now + .seconds(2) }
    }

    static var closed: CoveyError { CoveyError(.unavailable, "the store was closed") }
}
