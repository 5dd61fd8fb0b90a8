import CoveySystem
import Glibc

/// A process of this host.
struct HostProcess: Hashable, Sendable, CustomStringConvertible {
    let pid: Int32
    let arguments: [String]
    /// The text of `/proc/PID/cgroup`.
    let groups: String

    /// The program's name.
    var program: String { arguments.first?.split(separator: "/").last.map(String.init) ?? "" }

    /// `process 12: covey daemon --root`.
    var description: String { "process \(pid): \(program) \(arguments.dropFirst().prefix(3).joined(separator: " "))" }

    /// All processes that have not ended, without kernel threads.
    static func all() throws -> [HostProcess] {
        try listFolder("/proc").compactMap { Int32($0) }.compactMap { pid in
            // A process may end while it is looked at.
            guard let line = try? readFile("/proc/\(pid)/cmdline"), !line.isEmpty,
                let groups = try? readText("/proc/\(pid)/cgroup"), let facts = ProcessFacts(pid: pid), !facts.isZombie
            else { return nil }
            let arguments = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            return HostProcess(pid: pid, arguments: arguments, groups: groups)
        }
    }
}

/// A process that the tests have started.
final class Child: Sendable {
    let pid: Int32
    private let descriptor: ProcessDescriptor

    /// Starts a program in a session of its own; what it prints goes to the end of a file.
    init(_ arguments: [String], environment: [String: String] = [:], log: String) throws {
        let file = try openFile(log, [.writeOnly, .create, .append], mode: 0o644)
        let names = Set(environment.keys)
        let kept = currentEnvironment().filter { !names.contains(String($0.prefix { $0 != "=" })) }
        let plan = SpawnPlan(
            arguments: arguments, environment: kept + environment.map { "\($0)=\($1)" },
            descriptors: [1: file.raw, 2: file.raw], rights: .inherited)
        let started = try plan.start()
        pid = started.pid
        descriptor = started.takeDescriptor()
    }

    /// Sends a signal.
    func send(_ signal: Int32) throws { try descriptor.send(signal) }

    /// How it has ended; nil while it runs. To be asked once only after that.
    func ending() throws -> ProcessDescriptor.Ending? { try descriptor.reap() }

    /// Waits for its end.
    func end(within limit: Duration) async throws -> ProcessDescriptor.Ending {
        var seen: ProcessDescriptor.Ending?
        try await eventually("process \(pid) has ended", within: limit) {
            seen = try ending()
            return seen != nil
        }
        return seen ?? .exited(-1)
    }
}
