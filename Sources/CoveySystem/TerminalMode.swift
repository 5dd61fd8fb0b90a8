internal import CCovey
internal import Glibc

/// The mode of the terminal that this process has as standard input.
package enum TerminalMode {
    /// Enters raw mode: every key is passed on as it is, control characters included. What was there first comes back
    /// with ``restore()``, which also happens when the process exits or dies of a fault of its own.
    package static func enterRaw() throws(SystemError) {
        covey_leave_raw_mode_on_crash()
        atexit { covey_leave_raw_mode() }
        try check("tcsetattr", "standard input") { covey_enter_raw_mode(STDIN_FILENO) }
    }

    /// Restores what was there; without ``enterRaw()`` it does nothing.
    package static func restore() { covey_leave_raw_mode() }

    /// Whether this process's job is the one that the terminal speaks to.
    package static var isForeground: Bool { tcgetpgrp(STDIN_FILENO) == getpgrp() }
}
