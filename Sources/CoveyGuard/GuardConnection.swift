internal import CoveyGuardProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Descriptors that came with a packet; closed when nobody needs them any more.
final class ReceivedDescriptors {
    let raw: [Int32]

    init(_ raw: [Int32]) { self.raw = raw }

    deinit { for descriptor in raw { _ = close(descriptor) } }
}

/// One client. A packet that is malformed, or a client that does not take its answers, ends the connection.
final class GuardConnection {
    /// Called for each request with its packet's id.
    var onRequest: ((UInt64, GuardRequest, ReceivedDescriptors) -> Void)?
    /// Called once, when the client is gone.
    var onEnd: (() -> Void)?

    private static let mostUnsent = 1024

    private let socket: FileDescriptor
    private let loop: EventLoop
    private var unsent: [[UInt8]] = []
    private var hasEnded = false
    private var isPaused = false

    init(_ socket: consuming FileDescriptor, loop: EventLoop) throws(SystemError) {
        self.socket = socket
        self.loop = loop
        try loop.add(self.socket.raw, .readable) { [unowned self] readiness in
            if readiness.contains(.writable) { flush() }
            if !readiness.isDisjoint(with: [.readable, .hungUp, .failed]) { receive() }
        }
    }

    /// Sends a packet, at once or when the client takes it.
    func send(_ packet: [UInt8]) {
        guard !hasEnded else { return }
        unsent.append(packet)
        if unsent.count > Self.mostUnsent { return end() }
        flush()
    }

    /// Stops or goes on reading requests.
    func pause(_ pauses: Bool) {
        isPaused = pauses
        if !hasEnded { updateInterest() }
    }

    private func flush() {
        guard !hasEnded else { return }
        do throws(SystemError) {
            while let packet = unsent.first {
                guard try sendPacket(socket.raw, packet) else { break }
                unsent.removeFirst()
            }
            updateInterest()
        } catch { end() }
    }

    private func updateInterest() {
        var interest: EventLoop.Readiness = isPaused ? [] : .readable
        if !unsent.isEmpty { interest.insert(.writable) }
        do throws(SystemError) { try loop.change(socket.raw, interest) } catch { end() }
    }

    private func receive() {
        while !hasEnded && !isPaused {
            do {
                guard let packet = try receivePacket(socket.raw, limit: GuardProtocol.longestPacket) else { return }
                let descriptors = ReceivedDescriptors(packet.descriptors)
                guard !packet.bytes.isEmpty else { return end() }
                let (id, request, kind) = try GuardRequest.decode(packet.bytes)
                if let request {
                    onRequest?(id, request, descriptors)
                } else {
                    let error = CoveyError(
                        .unsupported, "this guard does not know request \(kind)", remedy: "replace the guard")
                    send(GuardResponse.failure(error).encoded(id: id))
                }
            } catch {
                note("connection ended: \(error)")
                return end()
            }
        }
    }

    private func end() {
        guard !hasEnded else { return }
        hasEnded = true
        loop.remove(socket.raw)
        // The owner drops this object; not while one of its functions runs.
        loop.post { [self] in
            onEnd?()
            onRequest = nil
            onEnd = nil
        }
    }
}
