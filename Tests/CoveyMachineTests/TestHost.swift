import CoveyModel
import CoveySystem
import FoundationEssentials
import Glibc
import Synchronization

/// A daemon with a root of its own, used as a user does: by its programs.
final class TestHost: Sendable {
    private struct State {
        var daemon: Child?
        var isEnding = false
    }

    let programs: Programs
    /// The words before a program that is to run where this host's network is; empty is the real host's, which a
    /// daemon of a test leaves alone.
    let enter: [String]
    /// All of this host, short: socket paths end at 107 bytes.
    let folder: String
    var root: String { "\(folder)/r" }
    var socket: String { "unix:\(root)/covey.sock" }
    var log: String { "\(folder)/daemon.log" }
    private let state = Mutex(State())

    /// Where a host's state is kept.
    enum Store: Sendable {
        /// In the root's file, or where `COVEY_TEST_STORE` says for the whole run.
        case ofRun
        /// Where the test's own configuration says, or in the root's file.
        case given
    }

    /// The etcd of a host in a run on etcd.
    let etcd: TestEtcd?
    /// What ends every configuration file.
    private let fixed: String

    /// A host that runs nothing.
    init(configuration: String = "", in network: TestNetwork? = nil, store: Store = .ofRun) async throws {
        programs = try await Programs.shared()
        enter = network?.enterHost ?? []
        folder = "/tmp/cvy-m-\(UInt32.random(in: .min ... .max))"
        try makeFolder(folder, mode: 0o755)
        try makeFolder("\(folder)/r", mode: 0o755)
        fixed = network == nil ? "\nnetwork:\n  mode: off\n" : ""
        var configuration = configuration
        if case .ofRun = store, getenv("COVEY_TEST_STORE").map({ String(cString: $0) }) == "etcd" {
            let etcd = try TestEtcd(folder, enter: network?.enterHost ?? [])
            try etcd.start()
            configuration += "\nstore: \(etcd.address())\n"
            self.etcd = etcd
        } else {
            etcd = nil
        }
        try configure(configuration)
    }

    /// Writes the configuration file.
    func configure(_ text: String) throws {
        try writeFileAtomically("\(root)/config.yaml", Array((text + fixed).utf8), mode: 0o644)
    }

    /// Ends what the host's state is kept on, where that is its own.
    func endStore() async throws { try await etcd?.end() }

    // MARK: Commands

    /// Runs `covey` with these arguments.
    func run(
        _ arguments: String..., input: [UInt8] = [], limit: Duration = .seconds(90)
    ) async throws -> Outcome {
        try await run(arguments, input: input, limit: limit)
    }

    /// Runs `covey` with these arguments.
    func run(_ arguments: [String], input: [UInt8] = [], limit: Duration = .seconds(90)) async throws -> Outcome {
        try await runProgram(
            programs.covey, arguments, environment: ["COVEY_HOST": socket], input: input,
            limit: limit)
    }

    /// Runs `covey` and fails where it does.
    @discardableResult
    func succeed(_ arguments: String..., input: [UInt8] = [], limit: Duration = .seconds(90)) async throws -> Outcome {
        let outcome = try await run(arguments, input: input, limit: limit)
        guard outcome.code == 0 else {
            throw CoveyError(.failure, "covey \(arguments.joined(separator: " ")): \(outcome)")
        }
        return outcome
    }

    /// What is known of a machine.
    func inspect(_ name: String) async throws -> MachineView {
        try MachineView(try await succeed("vm", "inspect", name, "-o", "json"))
    }

    /// Whether there is no such machine.
    func isGone(_ name: String) async throws -> Bool { try await run("vm", "inspect", name).code == 3 }

    /// The guest's boot id: another one is another boot.
    func bootID(_ name: String) async throws -> String {
        try await succeed("exec", name, "--", "cat", "/proc/sys/kernel/random/boot_id").text
    }

    /// Waits until a machine is ready in a run.
    @discardableResult
    func ready(_ name: String, generation: Int? = nil, within limit: Duration = .seconds(90)) async throws
        -> MachineView
    {
        var view: MachineView?
        try await eventually("vm \(name) is ready in run \(generation.map(String.init) ?? "any")", within: limit) {
            let now = try await inspect(name)
            view = now
            return now.isReady && (generation == nil || now.status.runGeneration == generation)
        }
        guard let view else { throw CoveyError(.internalError, "vm \(name) was not looked at") }
        return view
    }

    /// Waits until a machine has a phase.
    @discardableResult
    func phase(_ name: String, _ phase: String, within limit: Duration = .seconds(60)) async throws -> MachineView {
        var view: MachineView?
        do {
            try await eventually("vm \(name) is \(phase)", within: limit) {
                let now = try await inspect(name)
                view = now
                return now.status.phase == phase
            }
        } catch { throw CoveyError(.deadline, "\(error); it is \(view?.status.phase ?? "not to be seen")") }
        guard let view else { throw CoveyError(.internalError, "vm \(name) was not looked at") }
        return view
    }

    // MARK: Daemon and guard

    /// Starts the daemon and waits until it answers.
    func start(faultPoint: String? = nil) async throws {
        try spawnDaemon(faultPoint: faultPoint)
        try await eventually("the daemon answers") {
            let outcome = try await run("ps", "-q")
            if outcome.code == 0 { return true }
            guard let ending = try reaped() else { return false }
            throw CoveyError(.failure, "the daemon has ended (\(ending)): \(try logTail())")
        }
    }

    /// Starts the daemon, and does not wait.
    func spawnDaemon(faultPoint: String? = nil) throws {
        let child = try Child(
            enter + [programs.covey, "daemon", "--root", root],
            environment: faultPoint.map { ["COVEY_FAULT_POINT": $0] } ?? [:], log: log)
        state.withLock { $0.daemon = child }
    }

    /// Imports the kernel, from its file.
    func importKernel() async throws {
        try await succeed("kernel", "import", programs.kernelPackage, limit: .seconds(180))
    }

    /// The daemon's end, if it has ended.
    func reaped() throws -> ProcessDescriptor.Ending? {
        guard let daemon = state.withLock({ $0.daemon }) else { return .exited(0) }
        guard let ending = try daemon.ending() else { return nil }
        state.withLock { $0.daemon = nil }
        return ending
    }

    /// The daemon's pid; nil where none runs.
    var daemon: Int32? { state.withLock { $0.daemon?.pid } }

    /// Waits for the daemon's end.
    @discardableResult
    func daemonEnded(within limit: Duration = .seconds(60)) async throws -> ProcessDescriptor.Ending {
        var seen: ProcessDescriptor.Ending?
        try await eventually("the daemon has ended", within: limit) {
            seen = try reaped()
            return seen != nil
        }
        return seen ?? .exited(0)
    }

    /// Ends the daemon with SIGKILL.
    func killDaemon() async throws {
        try state.withLock { $0.daemon }?.send(SIGKILL)
        try await daemonEnded()
    }

    /// Ends the daemon as an operator does. Returns how it ended.
    @discardableResult
    func stopDaemon() async throws -> ProcessDescriptor.Ending {
        guard let daemon = state.withLock({ $0.daemon }) else { return .exited(0) }
        try daemon.send(SIGTERM)
        return try await daemonEnded()
    }

    /// The guards of this root: one, or none.
    func guards() throws -> [Int32] {
        try HostProcess.all().filter { $0.program == "covey-guard" && $0.arguments.contains("\(root)/run") }.map(\.pid)
    }

    /// Ends the guard with SIGKILL.
    func killGuard() async throws {
        for pid in try guards() where kill(pid, SIGKILL) != 0 && errno != ESRCH {
            throw SystemError("kill", "process \(pid)")
        }
    }

    /// The pids of a machine's VMM: one, or none.
    func machineProcesses(_ id: String) throws -> [Int32] {
        try HostProcess.all().filter { $0.groups.contains("/vm-\(id)-") }.map(\.pid)
    }

    /// The id in the names of all host objects; nil before the first start.
    func instance() throws -> String? {
        struct Identity: Decodable { var instance: String }
        let path = "\(root)/state/identity.json"
        guard fileExists(path) else { return nil }
        return try JSONDecoder().decode(Identity.self, from: Data(try readFile(path))).instance
    }

    /// The last lines of the daemon's log.
    func logTail() throws -> String {
        fileExists(log) ? String(decoding: try readFile(log).suffix(2000), as: UTF8.self) : "no log"
    }
}
