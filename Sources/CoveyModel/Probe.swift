/// A question that a guest's agent asks again and again: whether the machine is ready, or well.
package struct Probe: Hashable, Codable, Sendable {
    /// What is tried.
    package enum Action: Hashable, Sendable {
        /// Runs a program; it succeeds with exit code 0.
        case exec([String])
        /// Connects to a port of the machine's loopback.
        case tcp(port: UInt16)
        /// Asks a server on the machine's loopback for a path; it succeeds with a status from 200 to 399.
        case http(port: UInt16, path: String)
    }

    /// What is tried.
    package var action: Action
    /// From the end of one attempt to the next, in milliseconds.
    package var periodMilliseconds: Int64
    /// How long one attempt may take, in milliseconds.
    package var timeoutMilliseconds: Int64
    /// How long after the start failures do not count, in milliseconds.
    package var startPeriodMilliseconds: Int64
    /// Failed attempts in a row that make it a failure.
    package var failures: Int
    /// Successful attempts in a row that make it a success.
    package var successes: Int

    /// Makes a probe.
    package init(
        _ action: Action, period: Duration = .seconds(1), timeout: Duration = .seconds(5),
        startPeriod: Duration = .zero, failures: Int = 3, successes: Int = 1
    ) {
        self.action = action
        periodMilliseconds = period.wholeMilliseconds
        timeoutMilliseconds = timeout.wholeMilliseconds
        startPeriodMilliseconds = startPeriod.wholeMilliseconds
        self.failures = failures
        self.successes = successes
    }

    /// Reads `exec:COMMAND` (by the machine's shell), `tcp:PORT` or `http:PORT/PATH`; nil where it is none.
    package init?(_ text: String) {
        guard let action = Action(text) else { return nil }
        self.init(action)
    }

    /// Errors: ``ErrorCode/invalid`` with what cannot be carried out.
    package func check() throws(CoveyError) {
        switch action {
        case .exec(let arguments):
            guard let name = arguments.first, !name.isEmpty else {
                throw CoveyError(.invalid, "a probe runs no program", remedy: "write exec:COMMAND")
            }
            guard !arguments.contains(where: { $0.utf8.contains(0) }),
                arguments.reduce(0, { $0 + $1.utf8.count }) <= Probe.longestCommand
            else { throw CoveyError(.invalid, "a probe's command is too long, or has a NUL in it") }
        case .tcp(let port): try Probe.check(port)
        case .http(let port, let path):
            try Probe.check(port)
            guard path.hasPrefix("/"), path.utf8.count <= 2048, path.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
            else {
                throw CoveyError(
                    .invalid, "a probe cannot ask for the path \(path)",
                    remedy: "write http:PORT/PATH, with other characters than ASCII's as %XX")
            }
        }
        for (name, value, least) in [
            ("period", periodMilliseconds, 100), ("timeout", timeoutMilliseconds, 100),
            ("start period", startPeriodMilliseconds, 0),
        ] where !(Int64(least)...Probe.longest).contains(value) {
            throw CoveyError(.invalid, "a probe's \(name) of \(value) ms cannot be had", remedy: "at most an hour")
        }
        guard (1...1000).contains(failures), (1...1000).contains(successes) else {
            throw CoveyError(.invalid, "a probe counts 1 to 1000 attempts")
        }
    }

    private static let longestCommand = 32 << 10
    private static let longest: Int64 = 3_600_000

    private static func check(_ port: UInt16) throws(CoveyError) {
        if port == 0 { throw CoveyError(.invalid, "a probe cannot ask port 0", remedy: "write a port from 1 to 65535") }
    }
}

extension Probe.Action: CustomStringConvertible {
    private static let shell = ["/bin/sh", "-c"]

    /// Reads what ``description`` writes; `exec:` goes to the machine's shell.
    package init?(_ text: String) {
        guard let colon = text.firstIndex(of: ":") else { return nil }
        let rest = text[text.index(after: colon)...]
        switch text[..<colon] {
        case "exec":
            guard rest.contains(where: { !$0.isWhitespace }) else { return nil }
            self = .exec(Probe.Action.shell + [String(rest)])
        case "tcp":
            guard let port = UInt16(rest), port > 0 else { return nil }
            self = .tcp(port: port)
        case "http":
            let slash = rest.firstIndex(of: "/") ?? rest.endIndex
            guard let port = UInt16(rest[..<slash]), port > 0 else { return nil }
            self = .http(port: port, path: slash == rest.endIndex ? "/" : String(rest[slash...]))
        case _: return nil
        }
    }

    /// `exec:COMMAND`, `tcp:PORT`, `http:PORT/PATH`.
    package var description: String {
        switch self {
        case .exec(let arguments):
            let isOfShell = arguments.count == 3 && Array(arguments.prefix(2)) == Probe.Action.shell
            return "exec:" + (isOfShell ? arguments[2] : arguments.joined(separator: " "))
        case .tcp(let port): return "tcp:\(port)"
        case .http(let port, let path): return "http:\(port)\(path)"
        }
    }
}

extension Probe.Action: Codable {
    private enum CodingKeys: String, CodingKey { case exec, tcp, http, path }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if let arguments = try container.decodeIfPresent([String].self, forKey: .exec) {
            self = .exec(arguments)
        } else if let port = try container.decodeIfPresent(UInt16.self, forKey: .tcp) {
            self = .tcp(port: port)
        } else {
            self = .http(
                port: try container.decode(UInt16.self, forKey: .http),
                path: try container.decodeIfPresent(String.self, forKey: .path) ?? "/")
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .exec(let arguments): try container.encode(arguments, forKey: .exec)
        case .tcp(let port): try container.encode(port, forKey: .tcp)
        case .http(let port, let path):
            try container.encode(port, forKey: .http)
            try container.encode(path, forKey: .path)
        }
    }
}
