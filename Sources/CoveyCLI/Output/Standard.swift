internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Standard output and error of this process.
enum Standard {
    /// Writes data.
    static func output(_ text: String) { write(STDOUT_FILENO, text) }

    /// Writes everything else.
    static func error(_ text: String) { write(STDERR_FILENO, text) }

    /// Whether a descriptor is a terminal.
    static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    private static func write(_ descriptor: Int32, _ text: String) {
        do {
            try writeAll(descriptor, Array(text.utf8))
        } catch {
            // Nobody reads any more: as the shell has it, the program ends as if by SIGPIPE.
            if error.isErrno(EPIPE) { exit(128 + SIGPIPE) }
        }
    }
}

/// The process's environment.
enum ProcessEnvironment {
    /// A variable; nil where it is not set or empty.
    static subscript(_ name: String) -> String? {
        guard let value = getenv(name) else { return nil }
        let text = String(cString: value)
        return text.isEmpty ? nil : text
    }

    /// All variables.
    static var all: [String: String] {
        var all: [String: String] = [:]
        var position = environ
        while let entry = position.pointee {
            let text = String(cString: entry)
            if let sign = text.firstIndex(of: "=") {
                all[String(text[..<sign])] = String(text[text.index(after: sign)...])
            }
            position += 1
        }
        return all
    }
}
