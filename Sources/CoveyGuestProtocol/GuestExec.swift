package import CoveyModel

/// The id of the machine's own program.
package let mainExecID = "main"

/// A terminal's size in characters.
package struct GuestTerminalSize: Hashable, Sendable {
    /// Lines.
    package var rows: UInt16
    /// Characters a line.
    package var columns: UInt16

    /// Makes a size.
    package init(rows: UInt16 = 24, columns: UInt16 = 80) {
        self.rows = rows
        self.columns = columns
    }
}

/// One of a program's outputs. With a terminal all comes on standard output.
package enum GuestOutput: UInt8, Sendable, CaseIterable {
    case standardOutput = 1
    case standardError = 2
}

/// What happens when a program writes and nobody takes it: the guest keeps 256 KiB of each output.
package enum GuestOverflow: UInt8, Sendable, CaseIterable {
    /// The program waits.
    case block = 1
    /// The oldest bytes are dropped and counted.
    case dropOldest = 2
    /// The program waits for a reader that is attached; while none is, the oldest bytes are dropped and counted.
    case blockWhileAttached = 3
}

/// A program to start in a guest.
package struct GuestExecRequest: Hashable, Sendable {
    /// Chosen by the host, at most 64 characters; a repeat with the same id starts nothing.
    package var id: String
    /// The program. `standardInput` false gives it `/dev/null`.
    package var program: Program
    /// The terminal's first size, where the program has one.
    package var terminalSize: GuestTerminalSize
    /// What happens when nobody takes its output.
    package var overflow: GuestOverflow
    /// Makes it an ssh server, whose program the agent chooses, and which ends when nobody is attached to it; only for
    /// agents with ``GuestAbilities/shell``.
    package var shell: GuestShell?

    /// Makes a request.
    package init(
        id: String, program: Program, terminalSize: GuestTerminalSize = GuestTerminalSize(),
        overflow: GuestOverflow = .block, shell: GuestShell? = nil
    ) {
        self.id = id
        self.program = program
        self.terminalSize = terminalSize
        self.overflow = overflow
        self.shell = shell
    }
}

/// How a program in a guest ended.
package enum GuestExit: Hashable, Sendable {
    /// By itself, with a code.
    case exited(Int32)
    /// By a signal.
    case signalled(Int32)
    /// It never ran: 127 where the program was not found, 126 where it could not be executed, 125 for another reason
    /// (user, folder, limits).
    case notStarted(code: Int32, message: String)

    /// The code that a shell gives: the exit code, 128 and the signal, or that of a program that never ran.
    package var code: Int32 {
        switch self {
        case .exited(let code): code
        case .signalled(let signal): 128 + signal
        case .notStarted(let code, _): code
        }
    }
}

/// What a guest says of a program that it runs or ran.
package struct GuestExecInfo: Hashable, Sendable {
    /// The id that the host chose.
    package var id: String
    /// Its process in the guest; nil where it never ran.
    package var pid: Int32?
    /// How it ended; nil while it runs.
    package var exit: GuestExit?
    /// Bytes that each output wrote so far.
    package var written: [GuestOutput: UInt64]
    /// The first byte of each output that is still kept.
    package var kept: [GuestOutput: UInt64]
    /// Bytes of standard input that the guest has taken.
    package var inputTaken: UInt64

    /// Makes an information.
    package init(
        id: String, pid: Int32? = nil, exit: GuestExit? = nil, written: [GuestOutput: UInt64] = [:],
        kept: [GuestOutput: UInt64] = [:], inputTaken: UInt64 = 0
    ) {
        self.id = id
        self.pid = pid
        self.exit = exit
        self.written = written
        self.kept = kept
        self.inputTaken = inputTaken
    }
}

/// What an attached program delivers, in order within each output.
package enum GuestExecOutput: Hashable, Sendable {
    /// Bytes of an output; `offset` is that of the first.
    case bytes(GuestOutput, offset: UInt64, [UInt8])
    /// So many bytes of an output were dropped here.
    case dropped(GuestOutput, count: UInt64)
    /// It has ended, and all its output was delivered. Last.
    case ended(GuestExit)
}
