import CoveyAPI
import CoveyConfiguration
import CoveyModel
import CoveySystem
import Glibc
import Synchronization
import Testing
import Yams

@testable import CoveyCLI

@Suite struct ExitCodeTests {
    @Test("exit codes are those of the table")
    func codes() {
        let table: [ErrorCode: Int32] = [
            .failure: 1, .unsupported: 1, .corrupt: 1, .internalError: 1, .invalid: 2, .notFound: 3, .conflict: 4,
            .unavailable: 5, .outcomeUnknown: 5, .denied: 6, .unauthenticated: 6, .exhausted: 7, .deadline: 124,
            .cancelled: 130,
        ]
        #expect(table.count == ErrorCode.allCases.count)
        for (code, number) in table { #expect(code.exitCode == number) }
    }

    @Test("run and exec tell their own failures from the guest's")
    func relay() {
        let program = ResourceReference("program", "x")
        #expect(CoveyError(.notFound, "x", resource: program).relayExitCode == 127)
        #expect(CoveyError(.unsupported, "x", resource: program).relayExitCode == 126)
        #expect(CoveyError(.notFound, "x", resource: ResourceReference("image", "x")).relayExitCode == 125)
        #expect(CoveyError(.unavailable, "x").relayExitCode == 125)
        #expect(CoveyError(.cancelled, "x").relayExitCode == 130)
    }

    @Test("without a daemon a verb ends with 5, run and exec with 125, and what needs none works")
    func noDaemon() async {
        let host = ["--host", "unix:/tmp/cvy-api-nobody.sock"]
        #expect(await CommandLineProgram.run(arguments: ["ps"] + host) == 5)
        #expect(await CommandLineProgram.run(arguments: ["vm", "start", "a", "b"] + host) == 5)
        #expect(await CommandLineProgram.run(arguments: ["run", "busybox"] + host) == 125)
        #expect(await CommandLineProgram.run(arguments: ["exec", "web"] + host + ["--", "true"]) == 125)
        #expect(await CommandLineProgram.run(arguments: ["version"] + host) == 0)
        #expect(await CommandLineProgram.run(arguments: ["completion", "bash", "-q"]) == 0)
        #expect(await CommandLineProgram.run(arguments: ["ps", "--help"]) == 0)
        #expect(await CommandLineProgram.run(arguments: ["ps", "--host", "ftp:x"]) == 2)
        #expect(await CommandLineProgram.run(arguments: ["ps", "--tenant", "No Label"] + host) == 2)
    }

    @Test("an error is told with its causes and a hint")
    func text() {
        let cause = CoveyError(.exhausted, "the disk is full")
        let error = CoveyError(.failure, "image debian could not be built", remedy: "free some space", cause: cause)
        #expect(
            ErrorText.lines(error)
                == "error: image debian could not be built: the disk is full\nhint: free some space\n")
    }
}

@Suite struct OutputTests {
    private let leaks = [
        Leak(id: "a", kind: "folder", name: "/x", reason: "no: record"),
        Leak(id: "bb", kind: "file", name: "/", reason: ""),
    ]

    private func text(_ format: OutputFormat) throws -> String {
        try Output(format: format).text(
            leaks, [Column("ID") { $0.id }, Column("KIND") { $0.kind }], name: { $0.id })
    }

    @Test("a list is a table, names, or the same values in JSON and YAML")
    func formats() throws {
        #expect(try text(.table) == "ID  KIND\na   folder\nbb  file\n")
        #expect(try text(.name) == "a\nbb\n")
        let json = try Yams.load(yaml: try text(.json)) as? [String: [[String: String]]]
        let yaml = try Yams.load(yaml: try text(.yaml)) as? [String: [[String: String]]]
        #expect(json == yaml)
        #expect(json?["items"]?.first?["reason"] == "no: record")
    }

    @Test(
        "any text survives YAML",
        arguments: [
            "", " ", "true", "No", "1.5", "1e3", "0x1F", "a: b", "- a", "#x", "it's", "\"", "\\", "a\nb", "\t", "ü",
            "~",
            "null", "2023-01-01", "@x", "a#b", "*a", "&a", "!x", "%x", "|", ">", "{", "[", "\u{1}", "\u{2028}", "a ",
            ".",
        ])
    func yaml(_ text: String) throws {
        let printed = try ModelPrinter.object(["key": text, "other": [text].joined()], .yaml)
        #expect(try Yams.load(yaml: printed) as? [String: String] == ["key": text, "other": text])
        let name = try ModelPrinter.object(["k\(text)": "v"], .yaml)
        #expect(try Yams.load(yaml: name) as? [String: String] == ["k\(text)": "v"])
    }

    @Test("a timeline is drawn one stage behind the other")
    func timeline() {
        let stages = [
            TimelineStage(stage: "image", milliseconds: 100), TimelineStage(stage: "vmm", milliseconds: 300),
            TimelineStage(stage: "ready", milliseconds: 0),
        ]
        let lines = TimelineDrawing.text(stages).split(separator: "\n").map { String($0) }
        #expect(lines[1] == "image  100  " + String(repeating: "█", count: 10))
        #expect(lines[2] == "vmm    300  " + String(repeating: " ", count: 10) + String(repeating: "█", count: 30))
        #expect(lines[4].hasPrefix("total  400"))
        #expect(TimelineDrawing.text([]) == "there was no start yet\n")
    }

    @Test("a machine's ports say who listens, where that is reached, and what is published though nobody listens")
    func ports() throws {
        let id = MachineID(high: 1, low: 1)
        var machine = VirtualMachine(
            metadata: Metadata(id: id, name: "web", tenant: "default", createdAt: Timestamp(milliseconds: 0)),
            spec: MachineSpec(image: "x"), status: MachineStatus())
        machine.spec.networks = [
            NetworkAttachment(
                network: "a", address: IPv4Address("10.83.0.5"), address6: IPv6Address("fd00::5"))
        ]
        machine.spec.ports = try #require(PublishedPort.list("8080-8081:80-81"))
        let loopback = try #require(IPAddress("127.0.0.1"))
        let listening = [
            ListeningPort(
                transport: .tcp, address: .v6(IPv6Address(high: 0, low: 0)), port: 80, program: "nginx", pid: 7),
            ListeningPort(transport: .tcp, address: loopback, port: 25),
            ListeningPort(transport: .udp, address: .v4(IPv4Address(bits: 0)), port: 80),
        ]
        let ports = MachinePort.all(of: machine, listening: listening)
        #expect(ports.map(\.port) == [25, 80, 80, 81])
        #expect(ports[0].reachable.isEmpty && ports[0].published.isEmpty)
        #expect(ports[1].reachable == ["web.vm:80", "10.83.0.5:80", "[fd00::5]:80"])
        #expect(ports[1].published.map(\.description) == ["8080:80"] && ports[1].program == "nginx")
        #expect(ports[2].reachable == ["web.vm:80", "10.83.0.5:80"] && ports[2].published.isEmpty)
        #expect(ports[3].address == nil && ports[3].published.map(\.description) == ["8081:81"])
    }

    @Test("CPU is what was used between two looks; a restart in between has no figure")
    func figures() {
        func look(_ milliseconds: Int64, _ cpu: UInt64) -> MachineFigures {
            var figures = MachineFigures(at: Timestamp(milliseconds: milliseconds))
            figures.cpuNanoseconds = cpu
            return figures
        }
        #expect(UseColumns.share(look(2000, 625_000_000), since: look(1000, 500_000_000)) == "12.5%")
        #expect(UseColumns.share(look(2000, 2_500_000_000), since: look(1000, 500_000_000)) == "200.0%")
        #expect(UseColumns.share(look(2000, 5), since: look(1000, 10)) == "-")
        #expect(UseColumns.share(look(1000, 10), since: look(1000, 10)) == "-")
        let use = MachineUse(id: MachineID(high: 0, low: 1), name: "web", figures: look(1000, 0))
        let cells = UseColumns.all(before: []).map { $0.cell(use) }
        #expect(cells == ["web", "-", "0 B", "-", "0 B", "0 B", "0 B", "0 B", "0"])
    }

    @Test("progress is one live line on a terminal, and nothing elsewhere as long as nothing is slow")
    func progress() {
        let now = Timestamp(milliseconds: 0)
        let ids = IdentifierSource(time: { now })
        var status = OperationStatus(state: .running)
        status.stages = [
            OperationStage(name: "image", state: .done),
            OperationStage(name: "disk", state: .running, done: 12 << 20, total: 40 << 20, unit: "bytes"),
        ]
        let operation = Operation(
            metadata: Metadata(id: ids.next(), name: "x", tenant: "default", createdAt: now),
            spec: OperationSpec(
                kind: .createMachine, target: ResourceReference("vm", "web"), targetID: "", generation: 1,
                requestID: "", node: nil), status: status)
        let written = Mutex("")
        let live = Progress(quiet: false, live: true) { text in written.withLock { $0 += text } }
        live.show(operation)
        live.clear()
        #expect(written.withLock { $0 } == "\r\u{1B}[Kweb: image ✓  disk 12 MiB of 40 MiB…\r\u{1B}[K")
        written.withLock { $0 = "" }
        let plain = Progress(quiet: false, live: false) { text in written.withLock { $0 += text } }
        plain.show(operation)
        plain.clear()
        #expect(written.withLock { $0 } == "")
    }
}

@Suite struct ConfigurationTests {
    private func load(
        _ text: String?, root: String? = nil, flags: [SettingKey: String] = [:], environment: [String: String] = [:]
    ) throws -> ResolvedConfiguration {
        let path = "/tmp/cvy-api-config-\(getpid())-\(UInt32.random(in: .min ... .max)).yaml"
        if let text { try writeFileAtomically(path, Array(text.utf8)) }
        defer { unlink(path) }
        return try ResolvedConfiguration.load(
            root: root, file: text == nil ? nil : path, flags: flags, environment: environment)
    }

    private func refusal(_ text: String, environment: [String: String] = [:]) -> CoveyError? {
        do {
            _ = try load(text, environment: environment)
            return nil
        } catch { return error as? CoveyError }
    }

    @Test("flags win over environment, file and defaults, and each says where it came from")
    func sources() throws {
        let resolved = try load(
            "machine:\n  cpus: 2\n  memory: 1G\n  accel: kvm\nsocket.group: users\n", root: "/r",
            flags: [.machineCPUs: "4"], environment: ["COVEY_MACHINE_MEMORY": "2G", "COVEY_MACHINE_CPUS": "3"])
        let configuration = resolved.configuration
        #expect(configuration.cpus == 4)
        #expect(configuration.memory == .gibibytes(2))
        #expect(configuration.accel == .kvm)
        #expect(configuration.socketGroup == "users")
        #expect(configuration.logLevel == .info)
        #expect(configuration.folders.socket == "/r/covey.sock")
        #expect(configuration.folders.machines == "/r/vms")
        let source = Dictionary(uniqueKeysWithValues: resolved.settings.map { ($0.key, $0.source) })
        #expect(source["machine.cpus"] == "flag")
        #expect(source["machine.memory"] == "environment COVEY_MACHINE_MEMORY")
        #expect(source["machine.accel"]?.hasSuffix(".yaml:4") == true)
        #expect(source["log.level"] == "default")
        #expect(resolved.settings.count == SettingKey.allCases.count)
    }

    @Test("the daemon's own etcd is told where it is reached, and whom it joins; what others cannot be told is refused")
    func etcd() throws {
        let text = "store: etcd\netcd:\n  listen: 10.0.0.2:2379\n  join: 10.0.0.1:2379,b.example.org:2379\n"
        let configuration = try load(text + "  authority: /etc/covey/etcd\n").configuration
        #expect(configuration.etcdListen.map { "\($0.address) \($0.port)" } == "10.0.0.2 2379")
        #expect(configuration.etcdJoin == ["10.0.0.1:2379", "b.example.org:2379"])
        #expect(configuration.etcdAuthority == "/etc/covey/etcd")
        let none = try load("").configuration
        #expect(none.etcdListen == nil && none.etcdJoin.isEmpty && none.etcdAuthority == nil)
        for bad in [
            "listen: 0.0.0.0:2379", "listen: 10.0.0.1", "listen: 10.0.0.1:65535", "join: 10.0.0.1", "authority: x",
        ] { #expect(refusal("etcd:\n  \(bad)\n")?.code == .invalid, "\(bad)") }
    }

    @Test("without a root the folders are the host's")
    func folders() throws {
        let folders = try load("").configuration.folders
        #expect(folders.socket == "/run/covey/covey.sock")
        #expect(folders.state == "/var/lib/covey/state")
        #expect(folders.configuration == "/etc/covey/config.yaml")
        let root = try ResolvedConfiguration.load(environment: ["COVEY_ROOT": "/x/"]).configuration.folders
        #expect(root.state == "/x/state")
    }

    @Test("an unknown key, a wrong shape and a bad value name file and line, or the variable")
    func refusals() {
        #expect(
            refusal("machine:\n  cpus: 2\n  cpu: 3\n")?.message.hasSuffix(".yaml:3: unknown key machine.cpu") == true)
        #expect(refusal("machine: 3\n")?.message.contains(":1: machine is no map") == true)
        #expect(refusal("machine:\n  cpus: [1]\n")?.message.contains(":2: machine.cpus is no single value") == true)
        #expect(refusal("machine.cpus: 1\nmachine:\n  cpus: 2\n")?.message.contains("given twice") == true)
        #expect(refusal("a: [")?.code == .invalid)
        let value = refusal("machine:\n  memory: 12x\n")
        #expect(value?.code == .invalid)
        #expect(value?.message.contains(".yaml:2: \"12x\" is no size") == true)
        let variable = refusal("", environment: ["COVEY_MACHINE_ACCEL": "fast"])
        #expect(
            variable?.message
                == "machine.accel from environment COVEY_MACHINE_ACCEL: \"fast\" is none of auto, kvm, tcg")
    }

    @Test("a named file that is not there is not found, and a root that is not absolute invalid")
    func missing() {
        do {
            _ = try ResolvedConfiguration.load(file: "/tmp/cvy-api-no-such.yaml", environment: [:])
            Issue.record("there is no such file")
        } catch { #expect((error as? CoveyError)?.code == .notFound) }
        do {
            _ = try ResolvedConfiguration.load(root: "relative", environment: [:])
            Issue.record("a root has to be absolute")
        } catch { #expect((error as? CoveyError)?.code == .invalid) }
    }
}

@Suite struct SentFileTests {
    @Test("a folder becomes a tar archive that tar reads back")
    func tar() async throws {
        let folder = "/tmp/cvy-api-tar-\(getpid())-\(UInt32.random(in: .min ... .max))"
        try makeFolder("\(folder)/in/kernel/drivers")
        try makeFolder("\(folder)/out")
        let long = String(repeating: "n", count: 150)
        let big = (0..<3_000_001).map { UInt8(truncatingIfNeeded: $0) }
        try writeFileAtomically("\(folder)/in/modules.dep", Array("a: b\n".utf8), mode: 0o644)
        try writeFileAtomically("\(folder)/in/empty", [])
        try writeFileAtomically("\(folder)/in/kernel/drivers/\(long)", big)
        #expect(symlink("kernel/drivers", "\(folder)/in/link") == 0)
        let stream = try TarStream(folder: "\(folder)/in")
        var archive: [UInt8] = []
        while let piece = try await stream.next() { archive += piece }
        #expect(archive.count % 512 == 0)
        try writeFileAtomically("\(folder)/a.tar", archive)
        var pid = pid_t()
        let words = ["tar", "-xf", "\(folder)/a.tar", "-C", "\(folder)/out"]
        var pointers = words.map { strdup($0) } + [nil]
        #expect(posix_spawnp(&pid, "tar", nil, nil, &pointers, environ) == 0)
        for case let pointer? in pointers { free(pointer) }
        var status: Int32 = 0
        let waited = pid
        let ended = try await BlockingPool().run {
            var status: Int32 = 0
            while waitpid(waited, &status, 0) < 0 && errno == EINTR {}
            return status
        }
        status = ended
        #expect(status == 0)
        #expect(try listFolder("\(folder)/out") == ["empty", "kernel", "link", "modules.dep"])
        #expect(try readFile("\(folder)/out/link/\(long)") == big)
        #expect(try readText("\(folder)/out/modules.dep") == "a: b\n")
        try removeTree(folder)
    }

    @Test("what is no file is refused")
    func refusals() {
        #expect(throws: CoveyError.self) { try SentFile("/tmp/cvy-api-no-such-file") }
        #expect(throws: CoveyError.self) { try SentFile("/tmp") }
        #expect(throws: CoveyError.self) { try TarStream(folder: "/tmp/cvy-api-no-such-folder") }
    }
}
