package import CoveyModel
internal import Synchronization

/// Who writes to the consoles of a node's machines: one at a time each.
package final class ConsoleSeats: Sendable {
    /// One who came to a console.
    package struct Visitor: Hashable, Sendable {
        fileprivate let number: UInt64
        fileprivate let machine: MachineID
        fileprivate let who: String
    }

    private struct State {
        var writers: [MachineID: Visitor] = [:]
        var last: UInt64 = 0
    }

    private let state = Mutex(State())
    private let changes = Signal()

    /// Consoles where nobody is.
    package init() {}

    /// Comes to a console. Who asks to write does so where nobody does, or takes it from who does.
    package func enter(_ machine: MachineID, who: String, asks: Bool, takes: Bool) -> Visitor {
        let visitor = state.withLock { state in
            state.last += 1
            let visitor = Visitor(number: state.last, machine: machine, who: who)
            if asks, takes || state.writers[machine] == nil { state.writers[machine] = visitor }
            return visitor
        }
        changes.notify()
        return visitor
    }

    /// Leaves; nobody writes then, if this was who did.
    package func leave(_ visitor: Visitor) {
        state.withLock { state in
            if state.writers[visitor.machine] == visitor { state.writers[visitor.machine] = nil }
        }
        changes.notify()
    }

    /// What a visitor is told of who writes.
    package func seat(_ visitor: Visitor) -> ConsoleSeat {
        let writer = state.withLock { $0.writers[visitor.machine] }
        return ConsoleSeat(writes: writer == visitor, writer: writer?.who)
    }

    /// Yields when any seat may have changed.
    package func updates() -> AsyncStream<Void> { changes.subscribe() }
}
