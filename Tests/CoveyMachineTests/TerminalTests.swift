import CoveyModel
import CoveySystem
import Glibc
import Testing

@Suite("A terminal, driven in tmux", .tags(.machine), .serialized, .host)
struct TerminalTests {
    @Test("a client that is stopped goes on, and a session goes on over a daemon that is killed")
    func interrupted() async throws {
        try await session("hold") { host, screen in
            try await screen.line("covey \(shell) hold -- sh")
            try await screen.ends(with: "inner>")
            try await screen.line("clear; echo marked")
            try await screen.shows("marked")
            for signal in ["TSTP", "STOP"] {
                let client = try await screen.foreground(named: "covey")
                try await runProgram("kill", ["-\(signal)", "\(client)"]).expectSuccess()
                try await screen.shows("Stopped")
                try await screen.line("fg")
                try await screen.line("clear; echo back-$((20 + 3))")
                try await screen.shows("back-23")
            }
            try await host.killDaemon()
            try await screen.type("e", "c", "h", "o")
            try await host.start()
            try await screen.line(" after-$((40 + 2))")
            try await screen.shows("after-42")
            try await screen.line("exit")
            try await screen.ends(with: "outer$")
        }
    }

    @Test("a console is there while the machine boots; one writes, others look on, and writing is taken over")
    func console() async throws {
        let host = try await TestHost.current()
        let (first, second) = (try await TerminalScreen(host), try await TerminalScreen(host))
        do {
            let before = try await first.settings()
            try await host.succeed("vm", "create", "--name", "line", "--no-start", "busybox")
            try await first.line("covey console line")
            try await first.shows("leaves it")
            try await host.succeed("vm", "start", "line")
            try await host.succeed(
                "exec", "-d", "line", "--", "setsid", "sh", "-c",
                "exec env PS1='serial> ' sh -i < /dev/ttyS0 > /dev/ttyS0 2>&1")
            try await first.shows("serial>")
            try await first.line("echo one-$((1 + 1))")
            try await first.shows("one-2")
            try await second.line("covey console line")
            try await second.shows("writes; you look on")
            try await second.line("echo never-$((1 + 1))")
            try await first.line("echo two-$((1 + 1))")
            try await second.shows("two-2")
            #expect(try await !first.text().contains("never-2"))
            try await second.type("C-]")
            try await second.ends(with: "outer$")
            try await second.line("covey console --take line")
            try await first.shows("writes; you look on")
            try await second.line("echo three-$((1 + 1))")
            try await first.shows("three-2")
            try await first.type("C-]")
            try await first.ends(with: "outer$")
            #expect(try await first.settings() == before)
            try await host.succeed("vm", "rm", "-f", "line")
            try await second.shows("line has ended")
        } catch {
            try await first.end()
            try await second.end()
            throw error
        }
        try await first.end()
        try await second.end()
    }

    @Test("top refreshes, ends by q and by Ctrl-C, and gives the screen back; elsewhere it looks once")
    func top() async throws {
        try await session("busy") { host, screen in
            try await host.succeed("exec", "-d", "busy", "--", "yes")
            for key in ["q", "C-c"] {
                try await screen.clear()
                try await screen.line("echo mark; covey top --interval 500ms")
                try await screen.becomes("shows a rate") { $0.contains("covey top") && $0.contains("%") }
                try await screen.type(key)
                try await screen.becomes("is the one before") { $0.contains("mark") && $0.hasSuffix("outer$") }
            }
            let once = try await host.succeed("top")
            #expect(once.lines.count == 2 && once.text.contains("busy"))
        }
    }

    @Test("logs follow a machine over its restarts until it is removed, and --tail bounds what comes first")
    func logs() async throws {
        let host = try await TestHost.current()
        let script = "seq 1 50; echo up; exec sleep 1000"
        try await host.succeed("run", "-d", "--name", "told", "busybox", "--", "sh", "-c", script)
        try await eventually("it is up") { try await host.run("logs", "told").text.hasSuffix("up\n") }
        #expect(try await host.succeed("logs", "--tail", "3", "told").lines == ["49", "50", "up"])
        async let followed = host.run("logs", "-f", "--tail", "1", "told", limit: .seconds(120))
        try await host.succeed("vm", "restart", "told")
        try await host.ready("told", generation: 2)
        try await eventually("it is up again") {
            try await host.run("logs", "told").lines.count { $0 == "up" } == 2
        }
        try await host.succeed("vm", "rm", "-f", "told")
        let outcome = try await followed
        #expect(outcome.code == 0, "\(outcome)")
        #expect(outcome.lines == ["up"] + (1...50).map(String.init) + ["up"], "\(outcome)")
    }
}

/// Whole sessions at a keyboard: too long for the gate, and run by a soak.
@Suite("Long sessions at a terminal, driven in tmux", .tags(.machine), .serialized, .host)
struct LongTerminalTests {
    @Test("a probe makes a machine ready and its failure is said; exit is waited for with its code and a deadline")
    func probe() async throws {
        let host = try await TestHost.current()
        try await host.succeed(
            "run", "-d", "--name", "probed", "--ready", "http:8080/ok", "busybox", "--", "sh", "-c",
            "mkdir /w; httpd -p 8080 -h /w; while [ ! -e /go ]; do sleep 1; done; exit 5")
        try await eventually("its failure is said") {
            try await host.succeed("vm", "inspect", "probed", "-o", "json").text.contains(
                "http:8080/ok: HTTP status 404")
        }
        let late = try await host.run("vm", "wait", "probed", "--for", "ready", "--timeout", "1s")
        #expect(late.code == 124, "\(late)")
        async let waited = host.run("vm", "wait", "probed", "--for", "exit", "--timeout", "90s", limit: .seconds(100))
        try await host.killDaemon()
        try await host.start()
        try await host.succeed("exec", "probed", "--", "touch", "/w/ok")
        try await host.succeed("vm", "wait", "probed", "--for", "ready", "--timeout", "30s")
        try await host.succeed("exec", "probed", "--", "touch", "/go")
        let outcome = try await waited
        #expect(outcome.code == 5 && outcome.text == "5\n", "\(outcome)")
        try await host.succeed("vm", "rm", "-f", "probed")
    }

    @Test("vi, top, a resized window, Ctrl-C, Ctrl-Z and fg: the screen is as in a terminal of the machine's own")
    func programs() async throws {
        try await session("work") { host, screen in
            try await screen.line("covey \(shell) work -- sh")
            try await screen.ends(with: "inner>")
            try await screen.line("tty; stty size; echo $TERM")
            try await screen.shows("/dev/pts/0\n24 80\nscreen\n")
            try await screen.resize(columns: 100, rows: 30)
            try await screen.line("clear; stty size")
            try await screen.shows("30 100")
            try await screen.line("clear; vi /tmp/file")
            try await screen.becomes("is vi's") { $0.split(separator: "\n").count { $0 == "~" } == 28 }
            try await screen.type("i", "one", "Enter", "two", "Escape")
            try await screen.shows("one\ntwo\n~")
            try await screen.resize(columns: 70, rows: 20)
            try await screen.becomes("is a smaller vi's") { text in
                text.hasPrefix("one\ntwo\n~") && text.split(separator: "\n").count == 20
            }
            try await screen.line(":wq")
            try await screen.ends(with: "inner>")
            try await screen.line("clear; cat /tmp/file")
            try await screen.shows("one\ntwo\ninner>")
            try await screen.line("clear; top -d 1")
            try await screen.shows("Load average")
            try await screen.type("q")
            try await screen.ends(with: "inner>")
            // What is typed before a shell starts a program may be the shell's.
            try await screen.line("clear; echo go-$((1 + 1)); cat")
            try await screen.ends(with: "go-2")
            try await screen.line("first")
            try await screen.shows("first\nfirst")
            try await screen.type("C-c")
            try await screen.ends(with: "inner>")
            try await screen.line("clear; echo go-$((1 + 2)); cat")
            try await screen.ends(with: "go-3")
            try await screen.line("second")
            try await screen.shows("second\nsecond")
            try await screen.type("C-z")
            try await screen.shows("Stopped")
            try await screen.ends(with: "inner>")
            try await screen.line("fg")
            try await screen.becomes("is the program's again") { text in
                text.split(separator: "\n").last.map { $0.hasSuffix("; cat") || $0 == "cat" } ?? false
            }
            try await screen.line("third")
            try await screen.shows("third\nthird")
            try await screen.type("C-c")
            try await screen.ends(with: "inner>")
            try await screen.line("exit 7")
            try await screen.line("echo code=$?")
            try await screen.shows("code=7")
            try await screen.resize(columns: 80, rows: 24)
        }
    }

    @Test(
        "a session is left by its keys, by every signal and by SIGKILL, is listed, and taken up again with its screen")
    func leaving() async throws {
        try await session("leave") { host, screen in
            try await screen.line("covey \(shell) leave -- sh")
            try await screen.ends(with: "inner>")
            try await screen.line("clear; echo kept; vi /etc/passwd")
            try await screen.shows("root:")
            let seen = try await screen.text()
            let id = try #require(try await host.succeed("exec", "ls", "-q", "leave").lines.last)
            try await screen.type("C-p", "C-q")
            try await screen.becomes("says how to come back") { text in
                // The id does not fit into one line.
                text.split(separator: "\n").joined().contains("come back with: covey attach leave/\(id)")
            }
            for signal in ["TERM", "INT", "HUP", "QUIT"] {
                try await screen.clear()
                try await screen.line("covey attach leave/\(id.suffix(6))")
                try await screen.becomes("is the one that was left") { $0 == seen }
                let client = try await screen.foreground(named: "covey")
                try await runProgram("kill", ["-\(signal)", "\(client)"]).expectSuccess()
                try await screen.shows("come back with")
            }
            let table = try await host.succeed("exec", "ls", "leave").lines
            #expect(table.first?.split(separator: " ") == ["ID", "STATE", "STARTED", "USER", "TERMINAL", "COMMAND"])
            #expect(table.last.map { $0.contains("running") && $0.contains("yes") } == true)
            try await screen.clear()
            try await screen.line("covey attach leave/\(id)")
            try await screen.becomes("is the one that was left") { $0 == seen }
            let client = try await screen.foreground(named: "covey")
            _ = kill(client, SIGKILL)
            try await screen.shows("Killed")
            try await screen.line("stty sane; reset")
            try await screen.line("covey attach leave/\(id)")
            try await screen.becomes("is the one that was left") { $0 == seen }
            // Another client changes what both see.
            let second = try await TerminalScreen(host)
            do {
                try await second.line("covey attach leave/\(id)")
                try await second.becomes("is the same") { $0 == seen }
                try await second.type("G", "o", "second", "Escape")
                try await second.shows("second")
                let both = try await second.text()
                try await screen.becomes("is the other client's") { $0 == both }
                try await second.end()
            } catch {
                try await second.end()
                throw error
            }
            try await host.succeed("exec", "kill", "leave/\(id)")
            try await screen.shows("outer$")
            try await screen.line("reset")
            try await screen.ends(with: "outer$")
        }
    }

    @Test("a machine that ends, or answers nobody, gives the terminal back with one clear error")
    func vanished() async throws {
        try await session("gone") { host, screen in
            try await screen.line("covey \(shell) gone -- sh")
            try await screen.ends(with: "inner>")
            let vmm = try #require(try await host.inspect("gone").status.pid)
            _ = kill(vmm, SIGSTOP)
            // The user can leave a guest that answers nobody.
            try await screen.type("C-p", "C-q")
            try await screen.shows("come back with")
            let refused = try await host.run("exec", "gone", "--", "true", limit: .seconds(80))
            #expect(refused.code == 125 && refused.error.hasPrefix("error: "), "\(refused)")
            _ = kill(vmm, SIGCONT)
            try await screen.clear()
            try await screen.line("covey attach gone/$(covey exec ls -q gone | head -n 1)")
            try await screen.ends(with: "inner>")
            _ = kill(vmm, SIGKILL)
            try await screen.shows("error: vm gone has ended, and the program with it")
            try await screen.ends(with: "outer$")
        }
    }
}

/// A machine and a window; afterwards the terminal's settings are those from before.
private func session(_ name: String, _ body: (TestHost, TerminalScreen) async throws -> Void) async throws {
    let host = try await TestHost.current()
    try await host.succeed("vm", "create", "--name", name, "busybox")
    let screen = try await TerminalScreen(host)
    do {
        let before = try await screen.settings()
        try await body(host, screen)
        #expect(try await screen.settings() == before)
    } catch {
        try await screen.end()
        throw error
    }
    try await screen.end()
    try await host.succeed("vm", "rm", "-f", name)
}

private let shell = "exec -it --env PS1='inner> '"

extension Outcome {
    fileprivate func expectSuccess() throws {
        if code != 0 { throw CoveyError(.failure, "\(self)") }
    }
}
