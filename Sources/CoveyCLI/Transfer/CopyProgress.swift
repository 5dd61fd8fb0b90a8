internal import CoveyModel
internal import Glibc
internal import Synchronization

/// Tells how far a copy is: a live line on a terminal, elsewhere a plain one now and then, and one at the end.
final class CopyProgress: Sendable {
    private struct State {
        var bytes: Int64 = 0
        var said: ContinuousClock.Instant
        var isShown = false
    }

    private let quiet: Bool
    private let live: Bool
    private let begin = ContinuousClock.now
    private let state: Mutex<State>
    private let write: @Sendable (String) -> Void

    init(
        quiet: Bool, live: Bool = Standard.isTerminal(STDERR_FILENO),
        write: @escaping @Sendable (String) -> Void = { Standard.error($0) }
    ) {
        self.quiet = quiet
        self.live = live
        self.write = write
        state = Mutex(State(said: begin))
    }

    /// So many bytes were copied by now.
    func reached(_ bytes: Int64) {
        guard !quiet else { return }
        let now = ContinuousClock.now
        let pause: Duration = live ? .milliseconds(200) : .seconds(10)
        let isDue = state.withLock { state in
            state.bytes = bytes
            guard now - state.said >= pause else { return false }
            state.said = now
            state.isShown = live
            return true
        }
        guard isDue else { return }
        let line = CopyProgress.line(bytes, now - begin)
        write(live ? "\r\u{1B}[K\(line)" : "\(line)\n")
    }

    /// More bytes were copied.
    func add(_ bytes: Int) { reached(state.withLock { $0.bytes } + Int64(bytes)) }

    /// It is over.
    func end(succeeded: Bool) {
        guard !quiet else { return }
        let (bytes, isShown) = state.withLock { ($0.bytes, $0.isShown) }
        if isShown { write("\r\u{1B}[K") }
        if succeeded { write("copied \(CopyProgress.line(bytes, ContinuousClock.now - begin))\n") }
    }

    /// Something was left out.
    func note(_ text: String) {
        let wasShown = state.withLock { state in
            defer { state.isShown = false }
            return state.isShown
        }
        write("\(wasShown ? "\r\u{1B}[K" : "")note: \(text)\n")
    }

    /// `12 MiB, 34 MiB/s`.
    static func line(_ bytes: Int64, _ time: Duration) -> String {
        let milliseconds = max(1, time.wholeMilliseconds)
        let rate = Int64((Double(bytes) * 1000 / Double(milliseconds)).rounded())
        return "\(ByteCount(bytes).rounded), \(ByteCount(rate).rounded)/s"
    }
}
