import CoveyModel
import CoveySystem
import CoveyVMM
import Glibc
import Synchronization

/// Starts processes from the test's own process: unprivileged through setpriv, without control groups.
final class DirectSupervisor: ProcessSupervisor {
    private struct Entry {
        var process: SupervisedProcess
        var waiters: [CheckedContinuation<SupervisedProcess.End, Never>] = []
        var console: ConsoleText
        var consoleReader: Task<Void, Never>?
    }

    private let entries = Mutex<[String: Entry]>([:])
    private let requests = Mutex<[SpawnRequest]>([])
    private let reactor: Reactor

    init(reactor: Reactor) { self.reactor = reactor }

    /// What was asked for so far.
    var spawned: [SpawnRequest] { requests.withLock { $0 } }

    /// The console of a process that was not forgotten.
    func console(_ name: String) throws -> ConsoleText { try entry(name).console }

    /// Stops reading a process's console and closes it, as if the supervisor had died.
    func abandonConsole(_ name: String) async throws {
        let reader = try entry(name).consoleReader
        reader?.cancel()
        await reader?.value
    }

    func spawn(_ request: SpawnRequest) async throws -> SupervisedProcess {
        guard entries.withLock({ $0[request.name] == nil }) else {
            throw CoveyError(.conflict, "\(request.name) exists")
        }
        let console = ConsoleText()
        let (pid, reader) = try start(request, console)
        let identity = try Self.identity(pid)
        let process = SupervisedProcess(name: request.name, identity: identity)
        let name = request.name
        entries.withLock { $0[name] = Entry(process: process, console: console, consoleReader: reader) }
        requests.withLock {
            var copy = request
            copy.descriptors = []
            $0.append(copy)
        }
        startThread(named: "reaper") {
            var status: Int32 = 0
            while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
            let exit: ProcessExit = status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .signalled(status & 0x7F)
            let waiters = self.entries.withLock { entries in
                entries[name]?.process.end = .known(exit)
                defer { entries[name]?.waiters = [] }
                return entries[name]?.waiters ?? []
            }
            for waiter in waiters { waiter.resume(returning: .known(exit)) }
        }
        return process
    }

    func processes() async throws -> [SupervisedProcess] {
        entries.withLock { $0.values.map(\.process) }.sorted { $0.name < $1.name }
    }

    func waitForExit(_ name: String) async throws -> SupervisedProcess.End {
        _ = try entry(name)
        return await withCheckedContinuation { continuation in
            let end = entries.withLock { entries -> SupervisedProcess.End? in
                guard let entry = entries[name] else { return .unknown }
                if let end = entry.process.end { return end }
                entries[name]?.waiters.append(continuation)
                return nil
            }
            if let end { continuation.resume(returning: end) }
        }
    }

    func signal(_ name: String, _ signal: Int32) async throws {
        let process = try entry(name).process
        if process.end == nil { try check("kill") { Glibc.kill(process.identity.pid, signal) } }
    }

    func kill(_ name: String) async throws { try await signal(name, SIGKILL) }

    func forget(_ name: String) async throws {
        let reader = entries.withLock { $0.removeValue(forKey: name)?.consoleReader }
        await reader?.value
    }

    func limitations() async throws -> [String] { ["nothing is limited"] }

    private func entry(_ name: String) throws -> Entry {
        guard let entry = entries.withLock({ $0[name] }) else { throw CoveyError.notFound("process", name) }
        return entry
    }

    private func start(_ request: SpawnRequest, _ console: ConsoleText) throws -> (pid_t, Task<Void, Never>?) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        // First out of the way of the wanted numbers, then onto them.
        var moved: [SharedDescriptor] = []
        func place(_ raw: Int32, _ number: Int32) throws {
            let high = try check("fcntl") { fcntl(raw, F_DUPFD_CLOEXEC, 500) }
            moved.append(SharedDescriptor(FileDescriptor(owning: high)))
            posix_spawn_file_actions_adddup2(&actions, high, number)
        }
        for descriptor in request.descriptors { try place(descriptor.source.raw, descriptor.number) }
        for number in Int32(0)...1 { posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_RDWR, 0) }
        posix_spawn_file_actions_addopen(
            &actions, 2, request.errorLog ?? "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var reader: Task<Void, Never>?
        if let log = request.console {
            var pipe = try makePipe()
            let writer = pipe.takeSecond()
            try place(writer.raw, log.number)
            let stream = try ByteStream(pipe.takeFirst(), reactor: reactor)
            let file = SharedDescriptor(try openFile(log.path, [.writeOnly, .create, .append]))
            reader = Task {
                do {
                    while case let bytes = try await stream.read(), !bytes.isEmpty {
                        try writeAll(file.raw, bytes)
                        console.append(bytes)
                    }
                } catch { /* abandoned */  }
                console.end()
            }
        }
        let user = String(request.user)
        let arguments =
            [
                "/usr/bin/setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs",
                "--bounding-set=-all", "--inh-caps=-all",
            ] + request.arguments
        var argv = arguments.map { strdup($0) } + [nil]
        var envp = request.environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for case let text? in argv + envp { free(text) } }
        var pid = pid_t()
        let result = posix_spawn(&pid, arguments[0], &actions, &attributes, &argv, &envp)
        guard result == 0 else { throw SystemError("posix_spawn", arguments[0], errno: result).coveyError }
        return (pid, reader)
    }

    private static func identity(_ pid: pid_t) throws -> ProcessIdentity {
        let text = try readText("/proc/\(pid)/stat")
        let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
        let boot = try readText("/proc/sys/kernel/random/boot_id").split(separator: "\n")
        return ProcessIdentity(pid: pid, startTime: UInt64(fields[20]) ?? 0, bootID: String(boot[0]))
    }
}
