package import CoveyModel
package import CoveySystem
internal import Glibc
internal import Synchronization

/// A place where questions come in: one socket.
package struct ListenerKey: Hashable, Sendable {
    /// Whose questions they are.
    package var place: ListeningPlace
    /// The address and port.
    package var endpoint: SocketEndpoint
    /// Datagrams or connections.
    package var transport: TransportProtocol
    /// The link from which alone they come; nil is every link.
    package var device: String?
}

/// Serves one socket until it is cancelled or the socket fails.
struct Listener: Sendable {
    /// As many datagrams as are taken before others have a turn.
    private static let batch = 64
    /// The longest question, in bytes.
    private static let longestQuestion = 4096

    let key: ListenerKey
    let responder: Responder
    let reactor: Reactor
    let limits: NamesLimits

    /// Answers datagrams.
    func serve(datagrams socket: DatagramSocket) async throws {
        let gate = FloodGate(socket)
        try await withThrowingDiscardingTaskGroup { group in
            while true {
                try await socket.readable()
                var taken = 0
                while taken < Self.batch, let datagram = try socket.receive(limit: Self.longestQuestion) {
                    taken += 1
                    let outcome = responder.receive(
                        datagram.bytes, from: datagram.source.address, at: key.place, isStream: false)
                    switch outcome {
                    case .silence: break
                    case .flood:
                        let source = datagram.source.address
                        guard try gate.note(source) else { break }
                        group.addTask {
                            // For a while the kernel drops what it sends; then it has its rate again.
                            try await Task.sleep(for: FloodGate.pause)
                            try gate.open(source)
                        }
                    case .answer(let bytes): Self.send(bytes, to: datagram.source, socket)
                    case .lookup(let lookup):
                        // The responder bounds how many there are.
                        group.addTask {
                            Self.send(await responder.finish(lookup), to: datagram.source, socket)
                        }
                    }
                }
                if taken == Self.batch { await Task.yield() }
            }
        }
    }

    /// Answers on connections.
    func serve(connections listener: ConnectionListener) async throws {
        let open = OpenConnections()
        try await withThrowingDiscardingTaskGroup { group in
            while true {
                try await reactor.readable(listener.raw)
                let stream: ByteStream
                let peer: SocketEndpoint
                do {
                    guard let accepted = try acceptTCP(listener.raw) else { continue }
                    peer = try peerEndpoint(accepted.raw)
                    stream = try ByteStream(accepted, reactor: reactor)
                } catch let error as SystemError {
                    if error.isErrno(ENOTCONN) { continue }
                    guard error.isErrno(EMFILE) || error.isErrno(ENFILE) || error.isErrno(ENOBUFS) else { throw error }
                    // The connection stays in the queue, which would wake us at once: others may close theirs.
                    try await Task.sleep(for: .milliseconds(100))
                    continue
                }
                guard let asker = responder.connect(peer.address, key.place) else {
                    stream.shutdown()
                    continue
                }
                guard open.begin(limits.connections) else {
                    responder.disconnect(asker)
                    stream.shutdown()
                    continue
                }
                group.addTask {
                    await converse(stream, peer)
                    stream.shutdown()
                    responder.disconnect(asker)
                    open.end()
                }
            }
        }
    }

    /// Answers the questions of one connection in their order, until its end, its silence or its cancelling.
    private func converse(_ stream: ByteStream, _ peer: SocketEndpoint) async {
        var frames = DNSFrame()
        do {
            while true {
                let bytes = try await withDeadline(limits.idle, "the next question of \(peer)") {
                    try await stream.read(limit: Self.longestQuestion)
                }
                guard !bytes.isEmpty else { return }
                frames.append(bytes)
                while let message = frames.next() {
                    let answer: [UInt8]
                    switch responder.receive(message, from: peer.address, at: key.place, isStream: true) {
                    case .silence, .flood: return
                    case .answer(let bytes): answer = bytes
                    case .lookup(let lookup): answer = await responder.finish(lookup)
                    }
                    try await withDeadline(limits.idle, "the answer to \(peer)") {
                        try await stream.write(DNSFrame.make(answer))
                    }
                }
                guard frames.rest <= Self.longestQuestion else { return }
            }
        } catch {
            // A connection that breaks, idles or is cancelled is its peer's loss alone.
            return
        }
    }

    private static func send(_ bytes: [UInt8], to peer: SocketEndpoint, _ socket: DatagramSocket) {
        guard !bytes.isEmpty else { return }
        // An answer that cannot be sent (the machine has gone) is one that got lost: the asker asks again.
        _ = try? socket.send(bytes, to: peer)
    }
}

/// A listening socket with one owner that tasks share.
final class ConnectionListener: Sendable {
    private let descriptor: FileDescriptor

    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// The descriptor's number, valid as long as the listener lives.
    var raw: Int32 { descriptor.raw }
}

/// How many connections stand at a listener.
private final class OpenConnections: Sendable {
    private let number = Mutex(0)

    /// Takes a place; false where there are as many as may be.
    func begin(_ most: Int) -> Bool {
        number.withLock { number in
            guard number < most else { return false }
            number += 1
            return true
        }
    }

    func end() { number.withLock { $0 -= 1 } }
}
