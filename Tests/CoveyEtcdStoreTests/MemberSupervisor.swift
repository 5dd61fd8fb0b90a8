internal import CoveyModel
internal import CoveySystem
internal import CoveyVMM
internal import Glibc
internal import Synchronization

/// Starts members from the test's own process, without rights, and outlives what stands for daemons.
final class MemberSupervisor: ProcessSupervisor {
    private final class Child: Sendable {
        let pid: Int32
        private let descriptor: ProcessDescriptor
        private let seen = Mutex<ProcessExit?>(nil)

        init(_ plan: SpawnPlan) throws {
            let started = try plan.start()
            pid = started.pid
            descriptor = started.takeDescriptor()
        }

        func send(_ signal: Int32) throws { if try end() == nil { try descriptor.send(signal) } }

        func end() throws -> ProcessExit? {
            try seen.withLock { seen in
                if seen == nil, let ending = try descriptor.reap() {
                    switch ending {
                    case .exited(let status): seen = .exited(status)
                    case .signalled(let signal): seen = .signalled(signal)
                    }
                }
                return seen
            }
        }
    }

    private struct State {
        var children: [String: Child] = [:]
        var starts = 0
    }

    private let state = Mutex(State())

    /// How often a process was started.
    var starts: Int { state.withLock { $0.starts } }

    /// The pid of a member that was started.
    var pid: Int32? { state.withLock { $0.children["etcd"]?.pid } }

    func spawn(_ request: SpawnRequest) async throws -> SupervisedProcess {
        guard state.withLock({ $0.children[request.name] == nil }) else {
            throw CoveyError(.conflict, "\(request.name) exists")
        }
        var descriptors: [Int32: Int32] = [:]
        let log = try openFile(request.console?.path ?? "/dev/null", [.writeOnly, .create, .append], mode: 0o600)
        if let console = request.console { descriptors[console.number] = log.raw }
        let child = try Child(
            SpawnPlan(
                arguments: request.arguments, environment: request.environment.map { "\($0.key)=\($0.value)" },
                workingDirectory: request.workingDirectory, descriptors: descriptors,
                rights: .confined(user: request.user)))
        state.withLock { state in
            state.children[request.name] = child
            state.starts += 1
        }
        return process(request.name, child, nil)
    }

    func processes() async throws -> [SupervisedProcess] {
        try state.withLock { $0.children }.map { process($0.key, $0.value, try $0.value.end()) }
    }

    func waitForExit(_ name: String) async throws -> SupervisedProcess.End {
        let child = try child(name)
        while true {
            if let end = try child.end() { return .known(end) }
            // The test's own children: nobody tells, and a test may be cancelled meanwhile.
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    func signal(_ name: String, _ signal: Int32) async throws { try child(name).send(signal) }

    func kill(_ name: String) async throws { try child(name).send(SIGKILL) }

    func forget(_ name: String) async throws {
        guard let child = state.withLock({ $0.children[name] }) else { return }
        try child.send(SIGKILL)
        while try child.end() == nil { try await Task.sleep(for: .milliseconds(5)) }
        state.withLock { $0.children[name] = nil }
    }

    func limitations() async throws -> [String] { [] }

    private func child(_ name: String) throws -> Child {
        guard let child = state.withLock({ $0.children[name] }) else { throw CoveyError.notFound("process", name) }
        return child
    }

    private func process(_ name: String, _ child: Child, _ end: ProcessExit?) -> SupervisedProcess {
        SupervisedProcess(
            name: name, identity: ProcessIdentity(pid: child.pid, startTime: 0, bootID: ""), end: end.map { .known($0) }
        )
    }
}
