internal import CoveyModel
internal import Glibc
internal import Synchronization

/// Tells how far an operation is: a live line on a terminal, elsewhere a plain line for each stage of one that is slow.
final class Progress: Sendable {
    private struct State {
        var shown = false
        var said: Set<String> = []
    }

    private static let patience = Duration.seconds(2)

    private let live: Bool
    private let quiet: Bool
    private let begin = ContinuousClock.now
    private let state = Mutex(State())
    private let write: @Sendable (String) -> Void

    init(
        quiet: Bool, live: Bool = Standard.isTerminal(STDERR_FILENO),
        write: @escaping @Sendable (String) -> Void = { Standard.error($0) }
    ) {
        self.quiet = quiet
        self.live = live
        self.write = write
    }

    /// Shows a state.
    func show(_ operation: Operation) {
        guard !quiet else { return }
        if live {
            guard let line = Progress.line(operation) else { return }
            state.withLock { $0.shown = true }
            write("\r\u{1B}[K\(line)")
        } else if ContinuousClock.now - begin >= Progress.patience {
            for stage in operation.status.stages where stage.state != .pending {
                let text = "\(operation.spec.target.name): \(stage.name) \(stage.state.rawValue)"
                if state.withLock({ $0.said.insert(text).inserted }) { write(text + "\n") }
            }
        }
    }

    /// The operation has succeeded: so has every stage that was shown as running.
    func succeeded(_ operation: Operation) {
        guard !live, !quiet else { return }
        let said = state.withLock { $0.said }
        for text in said.sorted() where text.hasSuffix(" running") {
            let done = "\(text.dropLast(" running".count)) done"
            if !said.contains(done) { write(done + "\n") }
        }
    }

    /// Takes the live line away.
    func clear() {
        let shown = state.withLock { state in
            defer { state.shown = false }
            return state.shown
        }
        if shown { write("\r\u{1B}[K") }
    }

    /// `web: image ✓  disk 12 MiB of 40 MiB`.
    static func line(_ operation: Operation) -> String? {
        guard !operation.status.stages.isEmpty else { return nil }
        let parts = summed(operation.status.stages).compactMap { stage -> String? in
            switch stage.state {
            case .pending: nil
            case .done: "\(stage.name) ✓"
            case .failed: "\(stage.name) ✗"
            case .running: "\(stage.name)\(figures(stage))…"
            }
        }
        return "\(operation.spec.target.name): \(parts.joined(separator: "  "))"
    }

    /// The stages with all layers of an image as one: a line has not the room for twenty.
    private static func summed(_ stages: [OperationStage]) -> [OperationStage] {
        let layers = stages.filter { $0.name.hasPrefix("layer ") }
        guard layers.count > 1, let first = stages.firstIndex(where: { $0.name.hasPrefix("layer ") }) else {
            return stages
        }
        let isDone = layers.allSatisfy { $0.state == .done }
        let sum = OperationStage(
            name: "\(layers.count) layers", state: isDone ? .done : .running,
            done: layers.reduce(0) { $0 + ($1.done ?? 0) }, total: layers.reduce(0) { $0 + ($1.total ?? 0) },
            unit: "bytes")
        var rest = stages.filter { !$0.name.hasPrefix("layer ") }
        rest.insert(sum, at: first)
        return rest
    }

    private static func figures(_ stage: OperationStage) -> String {
        guard let done = stage.done else { return "" }
        func text(_ number: Int64) -> String {
            stage.unit == "bytes" ? ByteCount(number).rounded : "\(number)"
        }
        let unit = stage.unit == nil || stage.unit == "bytes" ? "" : " \(stage.unit ?? "")"
        guard let total = stage.total else { return " \(text(done))\(unit)" }
        return " \(text(done)) of \(text(total))\(unit)"
    }
}
