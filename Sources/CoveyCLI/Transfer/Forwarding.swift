internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Listens on ports of this host and carries each connection into a machine.
struct Forwarding: Sendable {
    let client: CoveyClient
    let machine: String
    let reactor: Reactor

    /// A listener that is bound.
    struct Listener: Sendable {
        let stream: ByteStream
        let endpoint: SocketEndpoint
        let remote: GuestEndpoint
    }

    /// Binds a rule's port. Errors: ``ErrorCode/conflict`` where it is taken.
    func listen(_ rule: ForwardRule) throws -> Listener {
        do throws(SystemError) {
            let descriptor = try listenTCP(rule.local)
            let endpoint = try boundEndpoint(descriptor.raw)
            return Listener(
                stream: try ByteStream(descriptor, reactor: reactor), endpoint: endpoint, remote: rule.remote)
        } catch {
            switch error.errno {
            case EADDRINUSE:
                throw CoveyError(
                    .conflict, "port \(rule.local) is in use", remedy: "name another, or 0 for any that is free")
            case EADDRNOTAVAIL: throw CoveyError(.invalid, "this host has no address \(rule.local.address)")
            default: throw error.coveyError
            }
        }
    }

    /// Accepts connections until it is cancelled.
    func serve(_ listener: Listener) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            while true {
                try await reactor.readable(listener.stream.raw)
                while let accepted = try accept(listener) {
                    let connection = try ByteStream(accepted, reactor: reactor)
                    group.addTask { await carry(connection, listener) }
                }
            }
        }
    }

    private func accept(_ listener: Listener) throws -> FileDescriptor? {
        do throws(SystemError) {
            return try acceptTCP(listener.stream.raw)
        } catch {
            // The one that connected has left again, or no descriptor is left for it.
            guard [ECONNABORTED, EMFILE, ENFILE].contains(error.errno) else { throw error }
            return nil
        }
    }

    private func carry(_ connection: ByteStream, _ listener: Listener) async {
        do {
            try await client.dial(machine, listener.remote) {
                let bytes = try await connection.read(limit: 128 << 10)
                return bytes.isEmpty ? nil : bytes
            } output: { piece in
                switch piece {
                case .bytes(let bytes): try await connection.write(bytes)
                case .end: _ = shutdown(connection.raw, Int32(SHUT_WR))
                case .note: return
                }
            }
        } catch {
            reset(connection)
            let known = CoveyError.wrapping(error)
            if known.code != .cancelled { Standard.error("\(listener.endpoint): \(known.message)\n") }
        }
    }

    /// Makes the close that follows a reset: the other side is to see a failure, not an end.
    private func reset(_ connection: ByteStream) {
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(connection.raw, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    }
}
