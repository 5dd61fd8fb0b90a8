import CoveyModel
import CoveySystem
import Synchronization

/// What a machine wrote to its console, and a way to wait for more.
final class ConsoleText: Sendable {
    private struct State {
        var text = ""
        var ended = false
        var waiters: [(needle: String, continuation: CheckedContinuation<Bool, Never>)] = []
    }

    private let state = Mutex(State())

    /// All so far.
    var text: String { state.withLock { $0.text } }

    /// Suspends until the text holds `needle`. Throws where the console ends without it, or after a minute.
    func wait(for needle: String) async throws {
        let found = try await withDeadline(.seconds(60), "the console line \(needle)") {
            await withCheckedContinuation { continuation in
                let known = self.state.withLock { state -> Bool? in
                    if state.text.contains(needle) { return true }
                    if state.ended { return false }
                    state.waiters.append((needle, continuation))
                    return nil
                }
                if let known { continuation.resume(returning: known) }
            }
        }
        if !found { throw CoveyError(.notFound, "the console ended without \(needle): \(text)") }
    }

    func append(_ bytes: [UInt8]) {
        let ready = state.withLock { state in
            state.text += String(decoding: bytes, as: UTF8.self)
            let ready = state.waiters.filter { state.text.contains($0.needle) }
            state.waiters.removeAll { state.text.contains($0.needle) }
            return ready
        }
        for waiter in ready { waiter.continuation.resume(returning: true) }
    }

    func end() {
        let left = state.withLock { state in
            state.ended = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in left { waiter.continuation.resume(returning: false) }
    }
}
