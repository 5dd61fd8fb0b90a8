package import CoveyModel
package import CoveySystem
package import CoveyVMM
internal import Glibc

/// Reads the facts of this host. QEMU is asked over QMP, as an unprivileged process of the supervisor's.
package struct HostFactsReader: Sendable {
    private let reactor: Reactor
    private let supervisor: any ProcessSupervisor
    private let binary: String?
    private let override: Accelerator
    private let pool = BlockingPool("covey-facts")

    /// The uid that QEMU is asked as: nobody.
    private static let user: UInt32 = 65534

    /// Makes a reader. `binary` nil searches `PATH`; `override` is the operator's choice of accelerator.
    package init(
        reactor: Reactor, supervisor: any ProcessSupervisor, binary: String? = nil, override: Accelerator = .auto
    ) {
        self.reactor = reactor
        self.supervisor = supervisor
        self.binary = binary
        self.override = override
    }

    /// Reads everything; takes about 0.2 s.
    package func read() async -> HostFacts {
        let device = await blocking(.failing("no thread")) { KVMDevice.probe() }
        let flag = await blocking(false) { Self.hasVirtualisationFlag(try readText("/proc/cpuinfo")) }
        return HostFacts(
            machine: Self.machine, hasVirtualisationFlag: flag, kvm: device, override: override, qemu: await askQEMU())
    }

    /// Whether the first `flags` line of `/proc/cpuinfo` holds `vmx` or `svm`.
    static func hasVirtualisationFlag(_ cpuinfo: String) -> Bool {
        guard let line = cpuinfo.split(separator: "\n").first(where: { $0.hasPrefix("flags") }) else { return false }
        return line.split { $0 == " " || $0 == "\t" || $0 == ":" }.contains { $0 == "vmx" || $0 == "svm" }
    }

    private static var machine: String {
        var names = utsname()
        guard uname(&names) == 0 else { return "unknown" }
        return withUnsafeBytes(of: &names.machine) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    private func blocking<T: Sendable>(_ otherwise: T, _ body: @escaping @Sendable () throws -> T) async -> T {
        do { return try await pool.run(body) } catch { return otherwise }
    }

    private func askQEMU() async -> QEMUProgram {
        guard let path = QEMUBinary.find(binary) else { return .missing }
        let name = "probe-qemu-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        do {
            let answer = try await withDeadline(.seconds(30), "asking QEMU") { try await self.ask(path, name) }
            try await end(name)
            return .answers(answer)
        } catch {
            // The answer is what counts; a process that could not be ended shows in the supervisor's list.
            do { try await end(name) } catch let second { return .broken("\(error); \(second)") }
            return .broken(CoveyError.wrapping(error).message)
        }
    }

    private func ask(_ path: String, _ name: String) async throws -> QEMUAbilities {
        let client = QMPClient(try await start(path, name))
        defer { client.close() }
        let version = try await client.handshake(within: .seconds(20))
        let machines = try await client.execute("query-machines").elements ?? []
        let kvm = try await client.execute("query-kvm")["present"]
        return QEMUAbilities(
            path: path, version: version, hasMicroVM: machines.contains { $0["name"]?.text == "microvm" },
            hasKVM: kvm == .bool(true))
    }

    /// Starts it, and keeps no copy of its end of the connection, so that its own end shows.
    private func start(_ path: String, _ name: String) async throws -> ByteStream {
        let (stream, far) = try ends()
        let number: Int32 = 10
        _ = try await supervisor.spawn(
            SpawnRequest(
                name: name,
                arguments: [
                    path, "-machine", "none", "-nodefaults", "-no-user-config", "-display", "none", "-S",
                    "-chardev", "socket,id=qmp,fd=\(number)", "-mon", "chardev=qmp,mode=control",
                    "-sandbox", QEMUCommandLine.sandbox,
                ], user: Self.user, descriptors: [PassedDescriptor(far, as: number)],
                limits: ResourceLimits(memory: .mebibytes(256), tasks: 32, openFiles: 256)))
        return stream
    }

    private func end(_ name: String) async throws {
        try await withDeadline(.seconds(10), "the end of \(name)") { [supervisor] in
            do {
                try await supervisor.kill(name)
                _ = try await supervisor.waitForExit(name)
            } catch let error as CoveyError where error.code == .notFound { return }
            try await supervisor.forget(name)
        }
    }

    private func ends() throws -> (ByteStream, SharedDescriptor) {
        var pair = try socketPair()
        let near = try ByteStream(pair.takeFirst(), reactor: reactor)
        return (near, SharedDescriptor(pair.takeSecond()))
    }
}
