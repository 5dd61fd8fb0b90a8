import CoveyModel
import CoveySystem
import Glibc
import Testing

/// A terminal as a user has it: a shell in a window of tmux, on a server of the test's own.
struct TerminalScreen: Sendable {
    private let socket: String
    private let environment: [String: String]

    /// Opens a window of 80 by 24 with a shell whose prompt is `outer$`.
    init(_ host: TestHost) async throws {
        socket = "\(host.folder)/tmux-\(UInt32.random(in: .min ... .max))"
        environment = ["COVEY_HOST": host.socket, "TMUX": "", "TERM": "screen"]
        let path = "\(parentFolder(host.programs.covey)):/usr/sbin:/usr/bin:/sbin:/bin"
        let settings = "\(socket).conf"
        try writeFileAtomically(settings, Array("set -g default-terminal screen\n".utf8), mode: 0o644)
        var words = ["-S", socket, "-f", settings, "new-session", "-d", "-x", "80", "-y", "24", "-s", "t"]
        for (name, value) in environment { words += ["-e", "\(name)=\(value)"] }
        // The shell that tmux starts the command by may set a path of its own.
        try await tmux(words.dropFirst(2) + ["exec env PATH=\(path) 'PS1=outer$ ' bash --norc --noprofile"])
        try await shows("outer$")
    }

    @discardableResult
    private func tmux(_ words: some Sequence<String>) async throws -> String {
        let outcome = try await runProgram(
            "tmux", ["-S", socket] + Array(words), environment: environment, limit: .seconds(20))
        guard outcome.code == 0 else { throw CoveyError(.failure, "tmux \(Array(words)): \(outcome)") }
        return outcome.text
    }

    /// What the screen shows, without blanks at the ends of its lines and without empty lines at its end.
    func text() async throws -> String {
        let raw = try await tmux(["capture-pane", "-p", "-t", "t"])
        var lines = raw.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            var line = line
            while line.last == " " { line.removeLast() }
            return String(line)
        }
        while lines.last?.isEmpty == true { lines.removeLast() }
        return lines.joined(separator: "\n")
    }

    /// Types keys as tmux names them.
    func type(_ keys: String...) async throws { try await tmux(["send-keys", "-t", "t"] + keys) }

    /// Types a line.
    func line(_ text: String) async throws {
        try await tmux(["send-keys", "-t", "t", "-l", text])
        try await tmux(["send-keys", "-t", "t", "Enter"])
    }

    /// Waits until the screen shows a text.
    func shows(_ wanted: String, within limit: Duration = .seconds(60)) async throws {
        try await becomes("shows \(wanted.debugDescription)", within: limit) { $0.contains(wanted) }
    }

    /// Waits until the screen's last line is a text.
    func ends(with wanted: String, within limit: Duration = .seconds(60)) async throws {
        try await becomes("ends with \(wanted.debugDescription)", within: limit) {
            $0.split(separator: "\n").last.map { $0 == wanted[...] } ?? false
        }
    }

    /// Waits until the screen is as wanted.
    func becomes(_ what: String, within limit: Duration = .seconds(60), _ holds: (String) -> Bool) async throws {
        var last = ""
        do {
            try await eventually("the screen \(what)", within: limit) {
                last = try await text()
                return holds(last)
            }
        } catch { throw CoveyError(.deadline, "\(error); it shows:\n\(last)") }
    }

    /// Gives the window another size.
    func resize(columns: Int, rows: Int) async throws {
        try await tmux(["resize-window", "-t", "t", "-x", "\(columns)", "-y", "\(rows)"])
    }

    /// Clears the screen of the outer shell.
    func clear() async throws {
        try await type("C-l")
        try await becomes("is clear") { $0 == "outer$" }
    }

    /// The settings of the terminal, as the outer shell has them while it runs a program.
    func settings() async throws -> String {
        try await clear()
        try await line("stty -a; echo settings-end")
        try await shows("\nsettings-end")
        let shown = try await text()
        try await clear()
        return shown
    }

    /// The pid of the program that the terminal speaks to.
    func foreground(named name: String) async throws -> Int32 {
        let tty = try await tmux(["display-message", "-p", "-t", "t", "#{pane_tty}"])
        let outcome = try await runProgram(
            "ps", ["-o", "pid=,comm=", "-t", String(tty.split(separator: "\n").first?.dropFirst(5) ?? "")])
        for line in outcome.lines {
            let words = line.split(separator: " ")
            if words.count == 2, words[1] == name[...], let pid = Int32(words[0]) { return pid }
        }
        throw CoveyError(.notFound, "no \(name) on \(tty): \(outcome)")
    }

    /// Ends the window and its server.
    func end() async throws { try await tmux(["kill-server"]) }
}
