internal import CoveyModel
internal import Glibc

/// The window of the terminal that this process was started in.
enum TerminalWindow {
    /// Its size; nil where neither standard output nor input is a terminal, or its size is not known.
    static var size: TerminalSize? { size(of: STDOUT_FILENO) ?? size(of: STDIN_FILENO) }

    private static func size(of descriptor: Int32) -> TerminalSize? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
        return TerminalSize(columns: Int(size.ws_col), rows: Int(size.ws_row))
    }
}
