internal import CCovey
package import CoveyGuestProtocol
package import CoveyModel
package import CoveySystem
internal import Glibc

/// The agent's duties as PID 1 of a machine, or beside its image's own init.
package final class MachineInit: MachineDuties {
    private enum Role { case waiting, plain, besideInit }

    private let loop: EventLoop
    private var role = Role.waiting
    private var signals: Int32 = -1
    private var shutdownWatch: Int32 = -1
    private var network: GuestNetwork?
    private var hostname: String?
    private var notification: InitNotification?

    /// Serves programs; set before ``begin()``.
    package weak var server: AgentServer?

    /// Makes the duties of the process that the loop runs in.
    /// - Parameter besideInit: What the agent before this one was told, where an image's init is PID 1 already.
    package init(loop: EventLoop, besideInit: GuestConfiguration? = nil) {
        self.loop = loop
        guard let besideInit else { return }
        role = .besideInit
        network = besideInit.network
        hostname = besideInit.hostname
    }

    /// Begins to reap and to hear signals.
    package func begin() throws(SystemError) {
        let first = covey_first_realtime_signal()
        let numbers = [
            SIGCHLD, SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP, SIGPWR, first + 3, first + 4, first + 5,
        ]
        signals = try check("signalfd") { covey_signal_descriptor(numbers, numbers.count) }
        try loop.add(signals, .readable) { [weak self] _ in self?.hearSignals() }
        if role == .besideInit {
            watchShutdown()
            try notification?.listen(on: loop) { [weak self] in self?.server?.initIsReady() }
        }
    }

    private func hearSignals() {
        let first = covey_first_realtime_signal()
        while case let number = covey_next_signal(signals), number > 0 {
            switch number {
            case SIGCHLD: reapAll()
            case _ where role == .besideInit: if number == SIGTERM { server?.announce(.goingDown) }
            case SIGTERM, SIGINT, first + 5: server?.shutDown(.reboot, grace: .seconds(5), reason: "guest")
            case SIGUSR1, SIGUSR2, SIGPWR, first + 3, first + 4:
                server?.shutDown(.powerOff, grace: .seconds(5), reason: "guest")
            case _: break
            }
        }
    }

    private func reapAll() {
        while case let pid = covey_next_ended_child(), pid > 0 {
            if server?.reapProgram(pid) ?? false { continue }
            var code: Int32 = 0
            var signal: Int32 = 0
            _ = covey_guest_reap(pid, &code, &signal)
        }
    }

    package var initSpeaks: Bool { notification != nil }

    package func configure(_ configuration: GuestConfiguration) throws(CoveyError) -> Bool {
        if case .imageInit(let path) = configuration.purpose, access(path, X_OK) != 0 {
            throw CoveyError(
                .notFound, "the image's init \(path) cannot be executed: \(String(cString: strerror(errno)))",
                remedy: "choose a program to run instead")
        }
        try MachineDisks.mount(configuration.mounts)
        if let clock = configuration.clock { try setClock(clock) }
        attempt(MachineNetwork.loopback)
        try change(configuration.network, hostname: configuration.hostname)
        TrustedCertificates.install(configuration.certificates)
        switch configuration.purpose {
        case .program, .idle:
            role = .plain
            mountForPlain()
            return false
        case .imageInit(let path):
            try handOver(to: path, configuration)
            return true
        }
    }

    package func setNetwork(_ network: GuestNetwork, hostname: String?) throws(CoveyError) {
        try change(network, hostname: hostname)
    }

    /// Sets name, interfaces and files. What cannot be set at all is an error, and leaves the files as they were.
    private func change(_ wanted: GuestNetwork?, hostname name: String?) throws(CoveyError) {
        if let name, name != hostname {
            if sethostname(name, name.utf8.count) != 0 { throw SystemError("sethostname", name).coveyError }
            hostname = name
        }
        if let wanted {
            try MachineNetwork.apply(wanted, replacing: network)
            network = wanted
            NetworkServices.tell(wanted)
        }
        NetworkFiles.write(hostname: hostname, network)
    }

    package func setClock(_ time: Timestamp) throws(CoveyError) {
        if covey_set_clock(time.milliseconds) != 0 { throw SystemError("clock_settime").coveyError }
    }

    private func mountForPlain() {
        let quiet = COVEY_MOUNT_NO_SUID | COVEY_MOUNT_NO_DEV
        let mounts: [(String, String, UInt, String?)] = [
            ("tmpfs", "/tmp", quiet, "mode=1777"), ("tmpfs", "/dev/shm", quiet, "mode=1777"),
            ("cgroup2", "/sys/fs/cgroup", quiet | COVEY_MOUNT_NO_EXEC, nil),
        ]
        for (type, path, flags, data) in mounts {
            attempt { () throws(SystemError) in
                if !path.hasPrefix("/sys") { try makeFolder(path, mode: 0o755) }
                try mountFileSystem(type, type, path, flags, data)
            }
        }
    }

    // MARK: an image's own init

    /// Forks twice: PID 1 becomes the image's init, its child keeps an agent alive, and the agent goes on in the
    /// child's child.
    private func handOver(to path: String, _ configuration: GuestConfiguration) throws(CoveyError) {
        guard getpid() == 1 else {
            throw CoveyError(
                .conflict, "the image's init could not be executed on this boot before", remedy: "restart the machine")
        }
        do throws(SystemError) {
            if configuration.readiness == .initSystem, InitNotification.speaks(path) {
                attempt { () throws(SystemError) in notification = try InitNotification() }
            }
            var ends: [Int32] = [-1, -1]
            try check("pipe2") { covey_pipe2(&ends, O_CLOEXEC) }
            let result = FileDescriptor(owning: ends[0])
            let told = FileDescriptor(owning: ends[1])
            let child = try check("fork") { covey_fork() }
            if child > 0 {
                var environment = ["HOME=/", "TERM=linux", "PATH=\(defaultSearchPath)"]
                if notification != nil { environment.append("NOTIFY_SOCKET=\(InitNotification.path)") }
                withStrings([path]) { arguments in
                    withStrings(environment) { environment in _ = covey_become(path, arguments, environment) }
                }
                let failure = SystemError("execve", path)
                attempt { () throws(SystemError) in try writeAll(told.raw, [UInt8(clamping: failure.errno)]) }
                covey_guest_reap_for_ever()
            }
            _ = setsid()
            covey_mark_for_final_kill()
            attempt { () throws(SystemError) in
                let score = try openFile("/proc/self/oom_score_adj", .writeOnly)
                try writeAll(score.raw, Array("-1000".utf8))
            }
            let agent = try check("fork") { covey_fork() }
            if agent > 0 { keepAgent(agent, configuration) }
            role = .besideInit
            // A signalfd in an epoll reports to the process that added it.
            loop.remove(signals)
            close(signals)
            try begin()
            try told.close()
            if let failure = try readSome(result.raw), let number = failure.first {
                throw SystemError("execve", path, errno: Int32(number))
            }
        } catch {
            role = .waiting
            throw error.coveyError
        }
    }

    /// Sees to it that there is an agent: one that ends is followed by a new one, from the memory of this process.
    private func keepAgent(_ first: Int32, _ configuration: GuestConfiguration) -> Never {
        // Above all the channel, which only one process may have open.
        _ = covey_close_inherited()
        var agent = first
        while true {
            if agent > 0 {
                _ = covey_await_child(agent)
                agentLog("the agent has ended; another one takes over")
            }
            // An agent that cannot live is not to eat the machine.
            usleep(200_000)
            agent = covey_fork()
            guard agent != 0 else {
                Agent.takeOver(configuration)
                exit(1)
            }
        }
    }

    /// systemd execs this program as PID 1 when all units are stopped; its arguments say what comes then.
    private func watchShutdown() {
        let paths = ["/usr/lib/systemd/systemd-shutdown", "/lib/systemd/systemd-shutdown"]
        guard let path = paths.first(where: { access($0, X_OK) == 0 }) else { return }
        shutdownWatch = covey_watch_opening(path)
        guard shutdownWatch >= 0 else { return agentLog("\(SystemError("inotify", path))") }
        attempt { () throws(SystemError) in
            try loop.add(shutdownWatch, .readable) { [weak self] _ in
                guard let self else { return }
                attempt { () throws(SystemError) in _ = try readSome(self.shutdownWatch, limit: 4096) }
                self.lookAtInit(turns: 20)
            }
        }
    }

    private func lookAtInit(turns: Int) {
        let line = ((try? readFile("/proc/1/cmdline", limit: 65536)) ?? []).split(separator: 0)
        let arguments = line.map { String(decoding: $0, as: UTF8.self) }
        if arguments.count > 1, arguments[0].hasSuffix("systemd-shutdown") {
            switch arguments[1] {
            case "reboot", "kexec": server?.announce(.rebooting)
            case "poweroff", "halt": server?.announce(.poweringOff(reason: "guest"))
            case _: server?.announce(.goingDown)
            }
        } else if turns > 0 {
            loop.after(.milliseconds(10)) { [weak self] in self?.lookAtInit(turns: turns - 1) }
        }
    }

    // MARK: going down

    package func beginShutdown(_ how: GuestShutdown) -> Bool {
        switch role {
        case .waiting: return true
        case .plain:
            _ = kill(-1, SIGTERM)
            _ = kill(-1, SIGHUP)
            _ = kill(-1, SIGCONT)
            return true
        case .besideInit: return !askInit(how)
        }
    }

    /// Asks the image's init in its own way. Returns false where none is known.
    private func askInit(_ how: GuestShutdown) -> Bool {
        let reboots = how == .reboot
        let comm = ((try? readText("/proc/1/comm")) ?? "").trimmed
        if comm == "systemd" { return kill(1, covey_first_realtime_signal() + (reboots ? 5 : 4)) == 0 }
        var target = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/1/exe", &target, target.count - 1)
        let executable = String(decoding: target.prefix(max(0, length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
        if executable.hasSuffix("/busybox") { return kill(1, reboots ? SIGTERM : SIGUSR2) == 0 }
        let request = GuestExecRequest(
            id: "shutdown", program: Program(arguments: [reboots ? "reboot" : "poweroff"]), overflow: .dropOldest)
        do throws(LaunchFailure) {
            let launched = try launch(request, ProgramDefaults(resetsOOMScore: true))
            for descriptor in [launched.output, launched.error ?? -1, launched.pidfd] where descriptor >= 0 {
                close(descriptor)
            }
            return true
        } catch {
            agentLog("\(error.exit)")
            return false
        }
    }

    package func end(_ how: GuestShutdown) {
        if role == .plain {
            _ = kill(-1, SIGKILL)
            reapAll()
        }
        sync()
        if role != .besideInit {
            MachineDisks.settle()
            attempt { () throws(SystemError) in
                try mountFileSystem("none", nil, "/", COVEY_MOUNT_REMOUNT | COVEY_MOUNT_READ_ONLY)
            }
        }
        _ = covey_end_machine(how == .reboot ? 1 : 0)
        agentLog("\(SystemError("reboot"))")
    }
}
