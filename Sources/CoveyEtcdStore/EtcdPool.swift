internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import FoundationEssentials
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
        /// The newest term of a leader that any answer had.
        var term: UInt64 = 0
        /// The versions of the members that are known to be ours.
        var versions: [Int: String] = [:]
        /// Until when it is known that there is no space.
        var noSpace = Duration.zero
        /// What connections are made from; nil without TLS.
        var credentials: EtcdCredentials?
        /// Why the files of TLS cannot be used as they are now; those read before go on.
        var refused: CoveyError?
        /// Before this the files are not read again.
        var readAgain = Duration.zero
    }

    /// The members that are known; later ones come at its end.
    var address: EtcdAddress { state.withLock { $0.address } }
    let times: EtcdTimes
    let clock: StoreClock
    private let state: Mutex<State>
    private let files = BlockingPool("covey-etcd-files")

    /// A pool without connections. Errors: ``ErrorCode/invalid`` for files of TLS.
    init(_ address: EtcdAddress, times: EtcdTimes, clock: StoreClock) async throws {
        self.times = times
        self.clock = clock
        let files = files
        var first = State(address: address, book: EndpointBook(count: address.endpoints.count))
        if let tls = address.tls { first.credentials = try await files.run { try EtcdCredentials(tls) } }
        state = Mutex(first)
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

    /// The newest term of a leader that any answer had.
    var term: UInt64 { state.withLock { $0.term } }

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
            let connection = try EtcdConnection(state.address.endpoints[index], state.credentials)
            state.connections[slot] = connection
            return connection
        }
    }

    /// A connection that says nothing: what comes next has a new one. Its calls under way go on to their ends.
    func abandon(_ lane: EtcdLane, _ index: Int, _ connection: EtcdConnection) {
        state.withLock { state in
            let slot = Slot(lane: lane, index: index)
            if state.connections[slot] === connection { state.connections[slot] = nil }
        }
    }

    // MARK: Certificates

    /// Reads the files of TLS again, once a second at most. Where they have changed, what comes next has new
    /// connections, watches go on over them, and calls under way end on the old ones.
    func renewCredentials() async {
        let now = clock.elapsed()
        let isDue = state.withLock { state in
            guard state.readAgain <= now, !state.isClosed else { return false }
            state.readAgain = now + .seconds(1)
            return true
        }
        guard let tls = address.tls, isDue else { return }
        do {
            let found = try await files.run { try EtcdCredentials(tls) }
            if state.withLock({ $0.credentials == found }) { return state.withLock { $0.refused = nil } }
            // Where one file is new already and the other is not, the next look finds both.
            try EtcdConnection.check(address.endpoints[0], found)
            let watches = state.withLock { state in
                let watches = state.connections.filter { $0.key.lane == .watches }.map(\.value)
                state.credentials = found
                state.refused = nil
                state.connections = [:]
                state.book.forgive()
                return watches
            }
            for connection in watches { connection.close() }
        } catch {
            let error = CoveyError.wrapping(error)
            state.withLock { $0.refused = error }
        }
    }

    /// A failed call's error, with what our own files have to do with it.
    func explained(_ failure: CoveyError) async -> CoveyError {
        guard address.tls != nil, failure.retryable else { return failure }
        await renewCredentials()
        let (credentials, refused) = state.withLock { ($0.credentials, $0.refused) }
        guard let trouble = refused ?? credentials?.trouble(now: Date()) else { return failure }
        return CoveyError(
            failure.code, "\(trouble.message); \(failure.message)", remedy: trouble.remedy,
            retryable: failure.retryable)
    }

    // MARK: Members

    /// A member answered.
    func worked(_ index: Int) { state.withLock { $0.book.worked(index) } }

    /// A member did not.
    ///
    /// - Parameter answered: Whether it said so itself.
    func failed(_ index: Int, answered: Bool = false) {
        let now = clock.elapsed()
        state.withLock { state in
            state.book.failed(index, now: now, answered: answered)
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
            state.term = max(state.term, header.raftTerm)
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
