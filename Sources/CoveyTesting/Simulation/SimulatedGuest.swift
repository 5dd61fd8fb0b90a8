package import CoveyGuestProtocol
package import CoveyModel
internal import CoveyVMM
internal import Synchronization

/// What goes on inside a simulated machine; it lives in the process, not in a daemon.
///
/// Programs are words: `sleep` runs until it is signalled, `exit N` ends at once, `say TEXT` writes a line and ends,
/// `deaf` runs and ignores a request to shut down.
struct SimulatedGuest: Sendable {
    var booted = false
    var configured = false
    var hostname: String?
    var network: GuestNetwork?
    var ports: [ListeningPort] = []
    var execs: [String: Exec] = [:]
    var end: RunEnd?

    struct Exec: Sendable {
        var output: [UInt8] = []
        var exit: GuestExit?
        var deaf = false
    }

    mutating func start(_ id: String, _ program: Program) {
        guard execs[id] == nil else { return }
        var exec = Exec()
        switch program.arguments.first {
        case "exit": exec.exit = .exited(Int32(program.arguments.dropFirst().first ?? "") ?? 0)
        case "say":
            exec.output = Array((program.arguments.dropFirst().joined(separator: " ") + "\n").utf8)
            exec.exit = .exited(0)
        case "sleep": break
        case "deaf": exec.deaf = true
        case let other: exec.exit = .notStarted(code: 127, message: "\(other ?? "") not found")
        }
        execs[id] = exec
    }
}

extension SimulatedHost {
    /// Ends a guest's program; the guest goes on until somebody has taken the end in.
    package func finishProgram(_ name: String, _ exit: GuestExit) {
        change { $0.processes[name]?.guest.execs[mainExecID]?.exit = exit }
    }

    /// Lets a guest's programs listen.
    package func listen(_ name: String, on ports: [ListeningPort]) {
        change { $0.processes[name]?.guest.ports = ports }
    }

    /// The network that a guest was told of; nil before, and without one.
    package func guestNetwork(_ name: String) -> GuestNetwork? { processes[name]?.guest.network }

    /// The host name that a guest was told of; nil before.
    package func guestHostname(_ name: String) -> String? { processes[name]?.guest.hostname }

    /// Ends a guest from inside.
    package func end(_ name: String, _ end: RunEnd) {
        change { state in
            guard var process = state.processes[name], process.exit == nil else { return }
            process.guest.end = end
            process.exit = .exited(0)
            process.cpusRun = false
            state.processes[name] = process
            state.ledger.append(.ended(process.plan.machine, process.plan.runGeneration))
        }
    }
}

/// Reaches simulated guests.
package struct SimulatedConnector: GuestConnector {
    private let host: SimulatedHost

    /// A connector on a host.
    package init(_ host: SimulatedHost) { self.host = host }

    package func connect(to socket: String, deadline: Duration) async throws -> any GuestSession {
        let silent = CoveyError(.unavailable, "nobody listens on \(socket)")
        guard let name = host.processes.first(where: { $0.value.plan.guestSocket == socket })?.key else { throw silent }
        let runs = try await host.wait { processes -> Bool? in
            guard let process = processes[name], process.exit == nil else { return false }
            return process.cpusRun && !process.frozen ? true : nil
        }
        guard runs else { throw silent }
        return SimulatedSession(host, name)
    }
}

/// A session with a simulated guest.
package final class SimulatedSession: GuestSession {
    package let hello: GuestHello
    package let events: AsyncStream<GuestEvent>
    private let continuation: AsyncStream<GuestEvent>.Continuation
    private let host: SimulatedHost
    private let name: String
    private let watch: Task<Void, Never>

    init(_ host: SimulatedHost, _ name: String) {
        self.host = host
        self.name = name
        let process = host.processes[name]
        hello = GuestHello(
            abilities: [.exec, .clock, .shutdown, .mounts, .network, .figures], agentVersion: "simulated", bootID: name,
            timings: GuestBootTimings(agentStarted: .milliseconds(1), rootMounted: .milliseconds(2)),
            configured: process?.guest.configured ?? false, hostname: process?.guest.hostname)
        let (events, continuation) = AsyncStream<GuestEvent>.makeStream()
        self.events = events
        self.continuation = continuation
        watch = Task {
            do { _ = try await host.wait { processes in processes[name]?.exit == nil ? nil : true } } catch {}
            continuation.yield(.ended(CoveyError(.unavailable, "the channel closed")))
            continuation.finish()
        }
    }

    deinit { watch.cancel() }

    private func guest<T>(_ body: (inout SimulatedGuest) throws -> T) throws -> T {
        var result: Result<T, any Error> = .failure(CoveyError(.unavailable, "the guest is gone"))
        host.change { state in
            guard var process = state.processes[name], process.exit == nil else { return }
            result = Result { try body(&process.guest) }
            state.processes[name] = process
        }
        return try result.get()
    }

    package func configure(_ configuration: GuestConfiguration) async throws -> GuestConfigured {
        let first = try guest { guest in
            if guest.configured { return false }
            guest.configured = true
            guest.hostname = configuration.hostname
            guest.network = configuration.network
            if case .program(let program) = configuration.purpose { guest.start(mainExecID, program) }
            return true
        }
        if first { continuation.yield(.started) }
        return first ? .done : .already
    }

    package func start(_ request: GuestExecRequest) async throws {
        try guest { $0.start(request.id, request.program) }
    }

    package func attach(
        _ id: String, from: [GuestOutput: UInt64], acknowledgement: GuestAcknowledgement
    ) async throws -> any GuestExecStream {
        guard try guest({ $0.execs[id] != nil }) else { throw CoveyError.notFound("exec", id) }
        return SimulatedStream(host, name, id, from: Int(from[.standardOutput] ?? 0))
    }

    package func run(
        _ request: GuestExecRequest, acknowledgement: GuestAcknowledgement
    ) async throws -> any GuestExecStream {
        try await start(request)
        return try await attach(request.id, from: [:], acknowledgement: acknowledgement)
    }

    package func execs() async throws -> [GuestExecInfo] {
        try guest { $0.execs.map { GuestExecInfo(id: $0.key, exit: $0.value.exit) } }.sorted { $0.id < $1.id }
    }

    package func acknowledge(_ id: String) async throws {
        let main = try guest { guest in
            guard guest.execs[id]?.exit != nil else { throw CoveyError(.conflict, "exec \(id) runs") }
            return id == mainExecID
        }
        if main { host.end(name, .poweredOff) }
    }

    package func signal(_ id: String, _ number: Int32) async throws {
        try guest { guest in
            if guest.execs[id]?.exit == nil { guest.execs[id]?.exit = .signalled(number) }
        }
    }

    package func shutdown(_ how: GuestShutdown, grace: Duration) async throws {
        if try guest({ guest in guest.execs.values.contains { $0.deaf && $0.exit == nil } }) { return }
        switch how {
        case .powerOff:
            continuation.yield(.poweringOff(reason: "host"))
            host.end(name, .poweredOff)
        case .reboot:
            continuation.yield(.rebooting)
            host.end(name, .rebooted)
        }
    }

    /// The guest reboots by itself, having said so.
    package func reboot() async throws { try await shutdown(.reboot, grace: .zero) }

    package func setClock(_ time: Timestamp) async throws {}

    package func ping() async throws { try guest { _ in } }

    package func setNetwork(_ network: GuestNetwork, hostname: String?) async throws {
        try guest { guest in
            guard guest.configured else { throw CoveyError(.conflict, "the machine is not configured") }
            guest.network = network
            if let hostname { guest.hostname = hostname }
        }
    }

    package func listeningPorts() async throws -> [ListeningPort] { try guest { $0.ports } }

    package func usage() async throws -> GuestUsage {
        try guest { _ in
            GuestUsage(memory: .mebibytes(128), available: .mebibytes(96), load: 0.25)
        }
    }

    package func stream(_ request: GuestStreamRequest) async throws -> any GuestExecStream {
        throw CoveyError(.unsupported, "a simulated guest has no streams")
    }

    package func close() async {
        watch.cancel()
        continuation.finish()
    }
}

/// A stream of a simulated program.
private final class SimulatedStream: GuestExecStream {
    let id: String
    let inputTaken: UInt64 = 0
    private let host: SimulatedHost
    private let name: String
    private let state: Mutex<(offset: Int, done: Bool)>

    init(_ host: SimulatedHost, _ name: String, _ id: String, from: Int) {
        self.host = host
        self.name = name
        self.id = id
        state = Mutex((from, false))
    }

    func next() async throws -> GuestExecOutput? {
        let (offset, done) = state.withLock { $0 }
        if done { return nil }
        let (id, name) = (id, name)
        let found = try await host.wait { processes -> GuestExecOutput? in
            guard let process = processes[name], process.exit == nil, let exec = process.guest.execs[id] else {
                return .dropped(.standardOutput, count: 0)
            }
            if offset < exec.output.count {
                return .bytes(.standardOutput, offset: UInt64(offset), Array(exec.output[offset...]))
            }
            return exec.exit.map { .ended($0) }
        }
        switch found {
        case .bytes(_, _, let bytes): state.withLock { $0.offset += bytes.count }
        case .dropped: throw CoveyError(.unavailable, "the guest is gone")
        case .ended: state.withLock { $0.done = true }
        }
        return found
    }

    func acknowledge(_ output: GuestOutput, through offset: UInt64) async throws {}
    func write(_ bytes: [UInt8]) async throws {}
    func closeInput() async throws {}
    func resize(_ size: GuestTerminalSize) async throws {}
    func signal(_ number: Int32) async throws {
        host.change { $0.processes[self.name]?.guest.execs[self.id]?.exit = .signalled(number) }
    }
    func detach() async {}
}
