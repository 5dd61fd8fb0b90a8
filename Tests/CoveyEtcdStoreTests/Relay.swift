internal import CoveyEtcdStore
internal import CoveyModel
internal import CoveyStore
internal import CoveySystem
internal import CoveyTesting
internal import CoveyVMM
internal import Glibc
internal import Synchronization

/// A port of loopback that leads to one member, wherever that runs, and that a test can close, slow down, or let say
/// nothing. What is closed to it takes no more bytes: who sends meets full buffers, as on a dead line.
final class Relay: Sendable {
    /// One of the two ways.
    enum Way: CaseIterable {
        case toMember
        case toClient
    }

    private struct State {
        var silent: Set<Way> = []
        var muted: Set<Int> = []
        var delay = Duration.zero
        var open: [Int: (client: ByteStream, member: ByteStream)] = [:]
        var count = 0
        var taken = 0
        var change: Int64 = 0
    }

    /// Where clients connect.
    let endpoint: EtcdEndpoint
    private let target: SocketEndpoint
    private let network: PrivateNetwork?
    private let reactor: Reactor
    private let state = Mutex(State())
    private let changed = RevisionSignal(.zero)
    private let accepting = Mutex<Task<Void, any Error>?>(nil)

    /// Begins to listen.
    ///
    /// - Parameter network: From where the member is reached; nil is the caller's.
    init(to target: SocketEndpoint, from network: PrivateNetwork? = nil, reactor: Reactor) throws {
        self.target = target
        self.network = network
        self.reactor = reactor
        let listener = try listenTCP(SocketEndpoint(.v4(IPv4Address(bits: 0x7F00_0001)), port: 0))
        endpoint = EtcdEndpoint(host: "127.0.0.1", port: Int(try boundEndpoint(listener.raw).port))
        let shared = SharedDescriptor(listener)
        accepting.withLock { task in
            task = Task { [self] in
                try await withThrowingDiscardingTaskGroup { group in
                    while true {
                        try await reactor.readable(shared.raw)
                        guard let client = try acceptTCP(shared.raw) else { continue }
                        let stream = try ByteStream(client, reactor: reactor)
                        group.addTask { await self.serve(stream) }
                    }
                }
            }
        }
    }

    /// Ends all connections and the port.
    func close() async {
        sever()
        guard let task = accepting.withLock({ $0 }) else { return }
        task.cancel()
        _ = await task.result
    }

    /// Bytes that it has read from both sides so far.
    var taken: Int { state.withLock { $0.taken } }

    /// Closes ways to every connection, those to come as well; none opens all again.
    func silence(_ ways: Set<Way>) { change { $0.silent = ways } }

    /// The connections that are there now say nothing any more, for ever; new ones are not concerned.
    func muteOpen() { change { $0.muted.formUnion($0.open.keys) } }

    /// Each piece waits so long on its way.
    func slow(_ delay: Duration) { change { $0.delay = delay } }

    /// Ends all connections that are there.
    func sever() {
        let ended = state.withLock { state in
            defer { state.open = [:] }
            return Array(state.open.values)
        }
        change { _ in }
        for (client, member) in ended {
            client.shutdown()
            member.shutdown()
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let number = state.withLock { state in
            body(&state)
            state.change += 1
            return state.change
        }
        changed.advance(to: Revision(number))
    }

    private func serve(_ client: ByteStream) async {
        do {
            let target = target
            let connect: @Sendable () throws -> Int32 = { try connectBlocking(target) }
            let raw =
                if let network { try await network.run(connect) } else { try await BlockingPool().run(connect) }
            let member = try ByteStream(FileDescriptor(owning: raw), reactor: reactor)
            let id = state.withLock { state in
                state.count += 1
                state.open[state.count] = (client, member)
                return state.count
            }
            await withTaskGroup { group in
                group.addTask { await self.pump(client, member, .toMember, id) }
                group.addTask { await self.pump(member, client, .toClient, id) }
            }
            state.withLock { state in
                state.open[id] = nil
                state.muted.remove(id)
            }
        } catch {
            // Nobody is there: the client meets a closed connection.
            client.shutdown()
        }
    }

    private func pump(_ from: ByteStream, _ to: ByteStream, _ way: Way, _ id: Int) async {
        do {
            while true {
                let bytes = try await from.read()
                if bytes.isEmpty { break }
                try await pass(bytes.count, way, id)
                try await to.write(bytes)
            }
        } catch {
            // One side is gone, and the other one with it.
        }
        from.shutdown()
        to.shutdown()
    }

    private func pass(_ count: Int, _ way: Way, _ id: Int) async throws {
        state.withLock { $0.taken += count }
        while true {
            let (isShut, delay, change) = try state.withLock { state in
                guard state.open[id] != nil else { throw CancellationError() }
                return (state.silent.contains(way) || state.muted.contains(id), state.delay, state.change)
            }
            if isShut {
                try await changed.wait(for: Revision(change + 1))
            } else {
                if delay > .zero { try await Task.sleep(for: delay) }
                return
            }
        }
    }
}

/// A socket that is connected within 3 s; blocks the thread.
private func connectBlocking(_ target: SocketEndpoint) throws -> Int32 {
    guard case .v4(let four) = target.address else { throw CoveyError(.unsupported, "relays know IPv4 alone") }
    let line = FileDescriptor(
        owning: try check("socket") { socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0) })
    var limit = timeval(tv_sec: 3, tv_usec: 0)
    try check("setsockopt") {
        setsockopt(line.raw, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = target.port.bigEndian
    address.sin_addr.s_addr = four.bits.bigEndian
    try withUnsafePointer(to: &address) { pointer in
        try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
            _ = try check("connect", "\(target)") {
                connect(line.raw, pointer, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
    return line.release()
}
