internal import ArgumentParser
internal import CoveyModel

extension ByteCount: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

extension RestartPolicy: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }

    package static var allValueStrings: [String] { ["never", "on-failure", "on-failure:N", "always"] }
}

extension VolumeMount: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

extension ScratchDisk: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

extension DriverName: ExpressibleByArgument {}
extension Accelerator: ExpressibleByArgument {}
/// `image`, `agent`, `booted`, or a probe.
struct ReadyArgument: ExpressibleByArgument, Sendable {
    let check: ReadyCheck
    let probe: Probe?

    init?(argument: String) {
        probe = Probe(argument)
        guard let check = probe == nil ? ReadyCheck(rawValue: argument) : .probe else { return nil }
        guard (check == .probe) == (probe != nil) else { return nil }
        self.check = check
    }

    static var allValueStrings: [String] { ["image", "agent", "booted", "exec:COMMAND", "tcp:PORT", "http:PORT/PATH"] }
}
extension OutputFormat: ExpressibleByArgument {}

/// A duration: `90s`, `10m`.
struct DurationArgument: ExpressibleByArgument, Sendable {
    let duration: Duration

    init?(argument: String) {
        guard let duration = Duration(text: argument) else { return nil }
        self.duration = duration
    }
}

/// `KEY=VALUE`.
struct KeyValue: ExpressibleByArgument, Sendable {
    let key: String
    let value: String

    init?(argument: String) {
        guard let sign = argument.firstIndex(of: "="), sign != argument.startIndex else { return nil }
        key = String(argument[..<sign])
        value = String(argument[argument.index(after: sign)...])
    }
}

extension [KeyValue] {
    /// The last value of each key.
    var map: [String: String] { Dictionary(map { ($0.key, $0.value) }) { _, last in last } }
}

/// A signal by name or number: `TERM`, `SIGTERM`, `15`.
struct SignalArgument: ExpressibleByArgument, Sendable {
    /// The signals of Linux on every architecture that Covey knows (signal(7)).
    private static let names: [String: Int32] = [
        "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
        "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "CHLD": 17, "CONT": 18, "STOP": 19, "TSTP": 20,
        "TTIN": 21, "TTOU": 22, "WINCH": 28,
    ]

    let number: Int32

    init?(argument: String) {
        if let number = Int32(argument), (1...64).contains(number) {
            self.number = number
            return
        }
        var name = argument.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        guard let number = SignalArgument.names[name] else { return nil }
        self.number = number
    }
}

/// What a machine is waited for.
enum WaitGoal: String, ExpressibleByArgument, CaseIterable, Sendable { case running, ready, stopped, exit, deleted }

/// What a creation is waited for.
enum CreateGoal: String, ExpressibleByArgument, CaseIterable, Sendable { case created, running, ready }

/// `VM` or `VM/EXEC`.
struct ExecReference: ExpressibleByArgument, Sendable {
    let machine: String
    let exec: String?

    init?(argument: String) {
        let parts = argument.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, !first.isEmpty, parts.count == 1 || !parts[1].isEmpty else { return nil }
        machine = String(first)
        exec = parts.count == 2 ? String(parts[1]) : nil
    }
}
