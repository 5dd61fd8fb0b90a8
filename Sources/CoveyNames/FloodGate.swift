internal import CoveyModel
internal import CoveySystem
internal import Synchronization

/// Keeps those that flood from filling the socket's buffer, in which the others' questions wait as well.
final class FloodGate: Sendable {
    /// How long the gate is shut.
    static let pause = Duration.seconds(1)
    /// As many questions are dropped by us before the kernel drops them.
    private static let patience = 100
    /// As many sources are counted; a network's machines send from few.
    private static let mostCounted = 4096

    private struct State {
        var dropped: [IPAddress: Int] = [:]
        var shut: Set<IPAddress> = []
    }

    private let socket: DatagramSocket
    private let state = Mutex(State())

    init(_ socket: DatagramSocket) { self.socket = socket }

    /// Notes that a question was dropped, and shuts the gate for a source that goes on; then true, and ``open(_:)`` has to follow.
    func note(_ source: IPAddress) throws -> Bool {
        try state.withLock { state in
            if state.dropped.count >= Self.mostCounted { state.dropped = [:] }
            let count = state.dropped[source, default: 0] + 1
            state.dropped[source] = count
            guard count >= Self.patience, !state.shut.contains(source), state.shut.count < DatagramSocket.mostRefused
            else { return false }
            state.shut.insert(source)
            try socket.refuse(state.shut)
            return true
        }
    }

    /// Lets a source in again.
    func open(_ source: IPAddress) throws {
        try state.withLock { state in
            state.shut.remove(source)
            state.dropped[source] = nil
            try socket.refuse(state.shut)
        }
    }
}
