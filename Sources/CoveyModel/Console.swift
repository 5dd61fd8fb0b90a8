/// Who writes to a machine's console, as one of its readers is told.
package struct ConsoleSeat: Hashable, Sendable {
    /// Whether the reader does.
    package var writes: Bool
    /// Who does; nil where nobody does.
    package var writer: String?

    /// Makes a seat.
    package init(writes: Bool, writer: String?) {
        self.writes = writes
        self.writer = writer
    }
}

/// What a reader of a machine's console is told.
package enum ConsoleOutput: Hashable, Sendable {
    /// Who writes: first, and at each change.
    case seat(ConsoleSeat)
    /// The next bytes.
    case data([UInt8])
    /// What was kept has been told.
    case caughtUp
}
