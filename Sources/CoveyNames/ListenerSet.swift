internal import CoveyModel
internal import CoveySystem
internal import Synchronization

/// The sockets that are listened on: opened, watched, opened again where they fail or their link was made anew, and closed.
actor ListenerSet {
    private struct Open {
        var task: Task<Void, Never>
        var ended: Ended
        /// The link's number when the socket was bound to it: a link of the same name made later is another one.
        var link: UInt32?
    }

    /// Tells that a listener's task has ended by itself.
    private final class Ended: Sendable {
        private let flag = Atomic(false)
        var isSet: Bool { flag.load(ordering: .acquiring) }
        func set() { flag.store(true, ordering: .releasing) }
    }

    private let opener: SocketOpener
    private let responder: Responder
    private let reactor: Reactor
    private let limits: NamesLimits
    private let turns = Turns<Int>()
    private var wanted: Set<ListenerKey> = []
    private var open: [ListenerKey: Open] = [:]
    private var failed: [ListenerKey: SystemError] = [:]
    private var isServing = false

    init(_ opener: SocketOpener, _ responder: Responder, _ reactor: Reactor, _ limits: NamesLimits) {
        self.opener = opener
        self.responder = responder
        self.reactor = reactor
        self.limits = limits
    }

    /// What could not be listened on, and why.
    var failures: [ListenerKey: SystemError] { failed }

    /// What is listened on.
    var listening: Set<SocketEndpoint> { Set(open.filter { !$0.value.ended.isSet }.map(\.key.endpoint)) }

    /// Listens on these, as far as it serves.
    func want(_ keys: Set<ListenerKey>) async throws {
        wanted = keys
        try await reconcile()
    }

    /// Opens what is wanted and not open; closes what is open and not wanted.
    func reconcile() async throws {
        // One at a time: closing suspends.
        try await turns.run(0) { @Sendable in await self.step() }
    }

    /// Serves from now on.
    func begin() async throws {
        isServing = true
        try await reconcile()
    }

    /// Closes all.
    func end() async {
        isServing = false
        // Not through `turns`: a caller that was cancelled gets none, and has to close all the same.
        await close(Array(open.keys))
        failed = [:]
    }

    private func step() async {
        let goal = isServing ? wanted : []
        await close(
            open.filter { key, open in
                !goal.contains(key) || open.ended.isSet || key.device.map { opener.link($0) != open.link } ?? false
            }.map(\.key))
        guard isServing else { return }
        failed = failed.filter { goal.contains($0.key) }
        for key in goal where open[key] == nil {
            do throws(SystemError) {
                open[key] = try start(key)
                failed[key] = nil
            } catch { failed[key] = error }
        }
    }

    private func close(_ keys: [ListenerKey]) async {
        let closed = keys.compactMap { open.removeValue(forKey: $0) }
        for listener in closed { listener.task.cancel() }
        // The address is free again when this returns.
        for listener in closed { await listener.task.value }
    }

    private func start(_ key: ListenerKey) throws(SystemError) -> Open {
        let link = key.device.flatMap { opener.link($0) }
        // An address of a gateway comes and goes with its bridge.
        let options = BindOptions(
            mayBeAbsent: key.place != .host, device: key.device, receiveBuffer: key.transport == .udp ? 1 << 20 : nil)
        let listener = Listener(key: key, responder: responder, reactor: reactor, limits: limits)
        let ended = Ended()
        // The tasks are owned by `open`, and cancelled and awaited by `close`. One whose socket fails ends, and is
        // found so by the next step.
        switch key.transport {
        case .udp:
            let socket = try DatagramSocket(try opener.bind(key.endpoint, options), reactor: reactor)
            let task = Task {
                try? await listener.serve(datagrams: socket)
                ended.set()
            }
            return Open(task: task, ended: ended, link: link)
        case .tcp:
            let socket = ConnectionListener(try opener.listen(key.endpoint, options))
            let task = Task {
                try? await listener.serve(connections: socket)
                ended.set()
            }
            return Open(task: task, ended: ended, link: link)
        }
    }
}
