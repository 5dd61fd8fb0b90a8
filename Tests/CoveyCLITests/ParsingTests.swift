import ArgumentParser
import CoveyAPI
import CoveyClient
import CoveyModel
import Testing

@testable import CoveyCLI

@Suite struct ParsingTests {
    /// Every verb of the command line, with arguments that it takes.
    static let verbs: [[String]] = [
        ["run", "busybox"], ["ps"], ["exec", "web", "--", "true"], ["exec", "ls", "web"], ["attach", "web/x"],
        ["logs", "web"], ["console", "web"], ["top"], ["vm", "create", "busybox"], ["vm", "start", "web"],
        ["vm", "stop", "web"],
        ["vm", "kill", "web"], ["vm", "restart", "web"], ["vm", "rm", "web"], ["vm", "ls"], ["vm", "inspect", "web"],
        ["vm", "wait", "web", "--for", "ready"], ["vm", "timeline", "web"], ["image", "ls"],
        ["image", "build", "debian"], ["image", "pull", "alpine"], ["image", "history", "alpine"],
        ["image", "export", "alpine", "alpine.tar"], ["image", "import", "alpine.tar"],
        ["registry", "login", "localhost:5000"], ["registry", "logout", "localhost:5000"],
        ["image", "tag", "debian", "base"], ["image", "prune", "--all", "--dry-run"], ["system", "df"],
        ["system", "uninstall"], ["system", "backup", "/tmp/b"], ["system", "restore", "/tmp/b"],
        ["system", "move", "--to", "sqlite"],
        ["image", "inspect", "debian"], ["image", "rm", "debian"], ["kernel", "ls"],
        ["image", "register", "web", "/tmp/root.ext4"], ["image", "promote", "web", "web:2"], ["image", "catalog"],
        ["kernel", "pull", "acme/6.1"], ["kernel", "catalog"], ["kernel", "import", "debian"],
        ["kernel", "inspect", "debian"], ["kernel", "rm", "debian"],
        ["volume", "ls"], ["volume", "create", "data", "--size", "1G"], ["volume", "inspect", "data"],
        ["volume", "attach", "data", "web:/data"], ["volume", "detach", "data", "web"],
        ["volume", "resize", "data", "--size", "2G"], ["volume", "snapshot", "data", "copy"], ["volume", "rm", "data"],
        ["network", "ls"], ["network", "create", "web"], ["network", "set", "web", "--isolated"],
        ["network", "inspect", "web"], ["network", "rm", "web"], ["vm", "set", "web", "--egress", "closed"],
        ["vm", "rename", "web", "shop"],
        ["vm", "ports", "web"], ["vm", "stats"],
        ["node", "ls"], ["node", "inspect", "a"],
        ["operation", "ls"], ["operation", "inspect", "x"], ["operation", "watch", "x"], ["operation", "cancel", "x"],
        ["ssh", "web", "--", "uname"], ["ssh-config"], ["ssh-proxy", "web.vm"], ["ssh-known-hosts", "web.vm"],
        ["cp", "web:/etc/hosts", "."], ["port-forward", "web", "8080:80"], ["events", "--vm", "web"],
        ["version"], ["config", "show"], ["doctor", "--leaks"], ["completion", "bash"],
    ]

    private func parse<Command: ParsableCommand>(_ arguments: [String], as type: Command.Type) throws -> Command {
        let parsed = try RootCommand.parseAsRoot(arguments)
        return try #require(parsed as? Command, "\(arguments)")
    }

    @Test("every verb takes every format, -q and the daemon's address", arguments: verbs)
    func globals(_ words: [String]) throws {
        // What stands behind -- is the guest's.
        let end = words.firstIndex(of: "--") ?? words.count
        func with(_ options: [String]) -> [String] { Array(words[..<end]) + options + Array(words[end...]) }
        for format in OutputFormat.allCases {
            let parsed = try RootCommand.parseAsRoot(with(["-o", format.rawValue]))
            let verb = try #require(parsed as? any Verb)
            #expect(verb.global.printed.format == format)
        }
        let options = ["-q", "--host", "unix:/tmp/x.sock", "--tenant", "team", "--no-color", "-v"]
        let verb = try #require(try RootCommand.parseAsRoot(with(options)) as? any Verb)
        #expect(verb.global.printed.format == .name)
        #expect(try verb.global.endpoint.socket == "/tmp/x.sock")
        #expect(verb.global.tenant == "team")
    }

    @Test("the list of verbs is complete, and every help has an example")
    func helps() throws {
        var found: Set<String> = []
        func walk(_ command: any ParsableCommand.Type, _ path: [String]) {
            let inner = command.configuration.subcommands
            #expect(command.configuration.discussion.contains("Example: covey "), "\(path)")
            #expect(RootCommand.helpMessage(for: command).contains("Example: covey "), "\(path)")
            if inner.isEmpty { found.insert(path.joined(separator: " ")) }
            for next in inner { walk(next, path + [next._commandName]) }
        }
        walk(RootCommand.self, [])
        let known = Set(
            Self.verbs.map { words in
                ["vm", "image", "kernel", "volume", "network", "node", "registry", "operation", "config", "system"]
                    .contains(
                        words[0])
                    ? words.prefix(2).joined(separator: " ") : words[0]
            })
        #expect(found == known)
    }

    @Test("run takes all options of a machine")
    func run() throws {
        let command = try parse(
            [
                "run", "--rm", "-it", "--name", "web", "--kernel", "6.1", "--cpus", "2", "--memory", "512M", "--disk",
                "4G", "--volume", "data:/data", "--volume", "more:/more:ro", "--scratch", "1G:/work", "--env", "A=B=C",
                "--env", "D=", "--label", "x=y", "--restart", "on-failure:3", "--driver",
                "cloud-hypervisor", "--accel", "tcg", "--ready", "booted", "--wait", "running", "--timeout", "90s",
                "debian", "--", "sh", "-c", "exit 3",
            ], as: RunCommand.self)
        #expect(command.rm && command.interactive && command.tty && !command.detach)
        #expect(command.command == ["sh", "-c", "exit 3"])
        #expect(command.machine.timeout?.duration == .seconds(90))
        #expect(command.machine.wait == .running)
        let request = try command.machine.request(image: command.image, program: nil, removeWhenStopped: true)
        #expect(request.name == "web")
        #expect(request.kernel == "6.1")
        #expect(request.cpus == 2)
        #expect(request.memory == .mebibytes(512))
        #expect(request.disk == .gibibytes(4))
        #expect(
            request.volumes == [
                VolumeMount(volume: "data", path: "/data"), VolumeMount(volume: "more", path: "/more", readOnly: true),
            ])
        #expect(request.scratch == ScratchDisk(size: .gibibytes(1), path: "/work"))
        #expect(request.environment == ["A": "B=C", "D": ""])
        #expect(request.labels == ["x": "y"])
        #expect(request.restart == .onFailure(limit: 3))
        #expect(request.driver == .cloudHypervisor)
        #expect(request.accel == .tcg)
        #expect(request.ready == .booted && request.readyProbe == nil)
        #expect(request.removeWhenStopped)
    }

    @Test("--ready takes what the image means, a stage of the boot, or a probe")
    func ready() throws {
        func ready(_ text: String) throws -> MachineRequest {
            let command = try parse(["vm", "create", "--ready", text, "busybox"], as: VMCreateCommand.self)
            return try command.machine.request(image: "busybox", program: nil)
        }
        #expect(try ready("image").ready == .image)
        #expect(try ready("tcp:80").readyProbe?.action == .tcp(port: 80))
        #expect(try ready("http:8080/live?x=1").readyProbe?.action == .http(port: 8080, path: "/live?x=1"))
        #expect(try ready("http:8080").readyProbe?.action == .http(port: 8080, path: "/"))
        #expect(try ready("exec:test -e /ok").readyProbe?.action == .exec(["/bin/sh", "-c", "test -e /ok"]))
        #expect(try ready("exec:test -e /ok").ready == .probe)
        for wrong in ["probe", "tcp:", "tcp:0", "tcp:70000", "http:/x", "exec:", "udp:53"] {
            #expect(throws: (any Error).self) { try ready(wrong) }
        }
    }

    @Test("exec kill and exec ls name what they mean, and a program stands behind --")
    func execSubcommands() throws {
        let kill = try parse(["exec", "kill", "-s", "KILL", "web/x"], as: ExecCommand.self)
        #expect(kill.vm == "kill" && kill.listed == "web/x" && kill.signal?.number == 9)
        for wrong in [["exec", "kill", "web"], ["exec", "-s", "KILL", "web", "--", "true"], ["exec", "web", "true"]] {
            #expect(throws: (any Error).self) { try RootCommand.parseAsRoot(wrong) }
        }
    }

    @Test("run and vm create take networks, ports, policy and limits")
    func networks() throws {
        let command = try parse(
            [
                "vm", "create", "--network", "web:ip=10.90.0.9,mac=0a:00:00:00:00:09", "--network", "data", "-p",
                "8080:80",
                "--publish", "0.0.0.0:5000-5001:50-51/udp", "--egress", "*.debian.org:80,10.0.0.0/8", "--network-limit",
                "10M,burst=1M,packets=500", "--disk-limit", "50M,iops=100", "busybox",
            ], as: VMCreateCommand.self)
        let request = try command.machine.request(image: "busybox", program: nil)
        #expect(request.networks?.map(\.network) == ["web", "data"])
        #expect(request.networks?.first?.address == IPv4Address("10.90.0.9"))
        #expect(request.ports.map(\.description) == ["8080:80", "0.0.0.0:5000:50/udp", "0.0.0.0:5001:51/udp"])
        #expect(request.egress?.description == "*.debian.org:80,10.0.0.0/8")
        #expect(
            request.networkLimit
                == TrafficLimit(bytesPerSecond: 10 << 20, operationsPerSecond: 500, burstBytes: 1 << 20))
        #expect(request.diskLimit == TrafficLimit(bytesPerSecond: 50 << 20, operationsPerSecond: 100))
        let none = try parse(["run", "--network", "none", "busybox"], as: RunCommand.self)
        #expect(try none.machine.request(image: "busybox", program: nil).networks == [])
        let unsaid = try parse(["run", "busybox"], as: RunCommand.self)
        #expect(try unsaid.machine.request(image: "busybox", program: nil).networks == nil)
    }

    @Test("networks are made and changed, and machines set, by their options")
    func networkVerbs() throws {
        let create = try parse(
            [
                "network", "create", "--block", "10.90.0.0/24", "--block6", "auto", "--mtu", "1400", "--shared",
                "--host-access", "--egress", "closed", "web",
            ], as: NetworkCreateCommand.self)
        #expect(create.block?.description == "10.90.0.0/24" && create.block6 == .auto && create.mtu == 1400)
        #expect(create.reach == .shared && create.hostAccess && create.egress == .closed)
        #expect(try parse(["network", "create", "web"], as: NetworkCreateCommand.self).reach == .isolated)
        let set = try parse(
            ["network", "set", "web", "--no-host-access", "--isolated"], as: NetworkSetCommand.self)
        #expect(set.change.reachesHost == false && set.change.isolated == true && set.change.egress == nil)
        let machine = try parse(
            [
                "vm", "set", "web", "--egress", "network", "-p", "80:80", "--unpublish", "[::1]:90/udp",
                "--network-limit",
                "none", "--network", "none", "--dry-run",
            ], as: VMSetCommand.self)
        let change = try machine.change()
        #expect(change.egress == .inherited && change.publish.count == 1 && change.networks == [] && machine.dryRun)
        #expect(change.unpublish.map(\.description) == ["[::1]:90/udp"] && change.networkLimit == TrafficLimit())
        let stats = try parse(["vm", "stats", "-w", "--interval", "2s", "a", "b"], as: VMStatsCommand.self)
        #expect(stats.watch && stats.vms == ["a", "b"] && stats.interval?.duration == .seconds(2))
    }

    @Test("exec takes user, environment, folder and program, and ls a machine")
    func exec() throws {
        let command = try parse(
            ["exec", "-d", "--user", "1:2", "--env", "A=B", "--workdir", "/x", "web", "--", "ls", "-l"],
            as: ExecCommand.self)
        #expect(command.detach)
        #expect(command.user == "1:2")
        #expect(command.env.map == ["A": "B"])
        #expect(command.workdir == "/x")
        #expect(command.command == ["ls", "-l"])
        #expect(try parse(["exec", "ls", "web"], as: ExecCommand.self).listed == "web")
    }

    @Test("the other verbs take their options")
    func others() throws {
        #expect(try parse(["attach", "web/x"], as: AttachCommand.self).target.exec == "x")
        let logs = try parse(["logs", "-f", "--since", "10m", "--console", "web"], as: LogsCommand.self)
        #expect(logs.follow && logs.console && logs.since?.duration == .seconds(600))
        let stop = try parse(["vm", "stop", "--timeout", "5s", "--force", "a", "b"], as: VMStopCommand.self)
        #expect(stop.force && stop.vms == ["a", "b"] && stop.timeout?.duration == .seconds(5))
        #expect(try parse(["vm", "kill", "--signal", "SIGHUP", "web"], as: VMKillCommand.self).signal?.number == 1)
        #expect(try parse(["vm", "rm", "-f", "web"], as: VMRemoveCommand.self).force)
        #expect(try parse(["vm", "ls", "-l", "a=b"], as: VMListCommand.self).labels.map == ["a": "b"])
        let wait = try parse(["vm", "wait", "web", "--for", "deleted", "--timeout", "1h"], as: VMWaitCommand.self)
        #expect(wait.goal == .deleted)
        #expect(try parse(["image", "build", "debian:sid", "--name", "x"], as: ImageBuildCommand.self).name == "x")
        let kernel = try parse(
            ["kernel", "import", "--name", "k", "--default", "--modules", "/m", "./bzImage"],
            as: KernelImportCommand.self)
        #expect(kernel.default && kernel.modules == "/m" && kernel.sources == ["./bzImage"])
        #expect(!(try parse(["kernel", "import", "--no-default", "debian"], as: KernelImportCommand.self).default))
        #expect(try parse(["doctor", "--leaks", "--purge", "x"], as: DoctorCommand.self).purge == "x")
        #expect(try parse(["config", "show", "--root", "/r"], as: ConfigShowCommand.self).root == "/r")
        #expect(try parse(["ps", "-a"], as: PsCommand.self).all)
        #expect(try parse(["vm", "create", "-d", "--no-start", "x"], as: VMCreateCommand.self).machine.noStart)
    }

    @Test(
        "what cannot be read is a usage error with exit code 2",
        arguments: [
            ["nonsense"], ["run"], ["run", "--cpus", "many", "x"], ["run", "--memory", "12x", "x"],
            ["run", "-d", "-i", "x"], ["exec", "web"], ["exec", "web", "true"], ["vm", "wait", "web"],
            ["vm", "wait", "web", "--for", "tea"], ["vm", "kill", "--signal", "TEA", "web"],
            ["run", "--restart", "on-failure:-1", "x"], ["run", "--env", "=x", "y"], ["logs", "--since", "1", "x"],
            ["ps", "-o", "xml"], ["volume", "create", "data"], ["volume", "create", "data", "--size", "much"],
            ["volume", "attach", "data", "web"], ["run", "--volume", "data", "x"], ["run", "--scratch", "x", "y"],
            ["run", "--network", "none", "--network", "web", "x"], ["run", "--network", "web:ip=1", "x"],
            ["run", "-p", "80", "x"], ["run", "--egress", "http://x", "y"], ["run", "--network-limit", "fast", "x"],
            ["run", "--disk-limit", "1M,packets=1", "x"], ["network", "create", "web", "--block", "10.0.0.1/24"],
            ["network", "create", "web", "--isolated", "--shared"], ["network", "set", "web"], ["vm", "set", "web"],
            ["vm", "set", "web", "--unpublish", "80:80"], ["vm", "stats", "--interval", "1ms"],
            ["run", "--volume", "data:/d:rx", "x"], ["doctor", "--purge", "x"], ["completion", "tcsh"], ["vm", "rm"],
            ["vm", "rename", "web"],
        ])
    func usage(_ arguments: [String]) async {
        #expect(await CommandLineProgram.run(arguments: arguments) == 2)
    }

    @Test("a verb of another target is found beside ours")
    func extra() async {
        struct Daemon: AsyncParsableCommand {
            static let configuration = CommandConfiguration(commandName: "daemon")
            func run() async throws { throw CoveyError(.conflict, "another one runs") }
        }
        #expect(await CommandLineProgram.run(arguments: ["daemon"], extra: [Daemon.self]) == 4)
    }
}
