internal import CoveyModel
internal import CoveySystem
internal import Glibc
internal import Synchronization

/// Puts the terminal of standard input into raw mode, and back on every way out of the program.
enum RawTerminal {
    private static let saved = Mutex<termios?>(nil)

    /// Enters raw mode; what was there is restored by ``leave()``, which also runs when the program exits.
    static func enter() throws(SystemError) {
        var settings = termios()
        try check("tcgetattr", "standard input") { tcgetattr(STDIN_FILENO, &settings) }
        let first = saved.withLock { saved in
            defer { saved = saved ?? settings }
            return saved == nil
        }
        if first { atexit { RawTerminal.leave() } }
        cfmakeraw(&settings)
        try check("tcsetattr", "standard input") { tcsetattr(STDIN_FILENO, TCSADRAIN, &settings) }
    }

    /// Restores what was there; without ``enter()`` it does nothing.
    static func leave() {
        saved.withLock { saved in
            guard var settings = saved else { return }
            _ = tcsetattr(STDIN_FILENO, TCSADRAIN, &settings)
        }
    }

    /// The terminal's size; nil where a descriptor is none.
    static func size(of descriptor: Int32 = STDOUT_FILENO) -> TerminalSize? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return TerminalSize(columns: Int(size.ws_col), rows: Int(size.ws_row))
    }
}
