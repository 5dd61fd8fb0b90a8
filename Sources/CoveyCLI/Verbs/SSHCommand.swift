internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// `covey ssh`.
struct SSHCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ssh", abstract: "Log in to a machine with ssh.",
        discussion: """
            The system's own ssh is run, over the machine's guest channel: the machine needs no network, no ssh server and \
            no port. Its host key is known before the first contact. The words of a command are joined by spaces for \
            the machine's shell, as ssh does it. ssh's exit code is passed on: the command's, or 255.

            Example: covey ssh web -- uname -a
            """)

    @OptionGroup var global: GlobalOptions

    @Option(name: [.short, .long], help: "The user; root, unless VM is written as USER@VM.")
    var user: String?

    @Flag(name: .customShort("t"), help: "Give the command a terminal.")
    var tty = false

    @Flag(name: .customShort("A"), help: "Lend the machine your ssh agent.")
    var agent = false

    @Flag(name: .customShort("N"), help: "Run nothing: forward ports alone.")
    var nothing = false

    @Option(name: .customShort("L"), help: "Forward a port of this host: [BIND:]PORT:HOST:HOSTPORT.")
    var localForwards: [String] = []

    @Option(name: .customShort("R"), help: "Forward a port of the machine: [BIND:]PORT:HOST:HOSTPORT.")
    var remoteForwards: [String] = []

    @Option(name: .customShort("D"), help: "Be a SOCKS proxy through the machine: [BIND:]PORT.")
    var dynamicForwards: [String] = []

    @Argument(help: "The machine: [USER@]NAME, or NAME.vm, NAME.TENANT.vm.")
    var vm: String

    @Argument(parsing: .postTerminator, help: "The command; none is a login shell.")
    var command: [String] = []

    func exitCode(of error: CoveyError) -> Int32 { error.relayExitCode }

    func perform() async throws -> Int32 {
        let parts = vm.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
        let login = parts.count == 2 ? parts[0] : user ?? "root"
        let host = try SSHHost(parts.last ?? vm)
        let call = try await BlockingPool("covey-ssh").run { _ in try self.words(login: login, host) }
        let program = try SSHCommand.program()
        try await global.of(host).connect { client in
            let machine = try await client.machine(host.machine)
            guard machine.spec.wanted == .running else {
                throw CoveyError(
                    .conflict, "vm \(machine.metadata.name) is \(machine.status.phase.rawValue)",
                    remedy: "start it: covey vm start \(machine.metadata.name)")
            }
        }
        return try SSHCommand.become(program, call)
    }

    /// What ssh is called with.
    func words(login: String, _ host: SSHHost) throws -> [String] {
        let folder = try SSHFolder.ofUser()
        _ = try folder.publicKey()
        let settings = try global.sshSettings(folder)
        var words = ["ssh"] + settings.arguments + ["-l", login]
        if tty { words.append("-t") }
        if agent { words.append("-A") }
        if nothing { words.append("-N") }
        for (flag, values) in [("-L", localForwards), ("-R", remoteForwards), ("-D", dynamicForwards)] {
            words += values.flatMap { [flag, $0] }
        }
        let name = ([host.machine] + (host.tenant.map { [$0] } ?? []) + ["vm"]).joined(separator: ".")
        return words + ["--", name] + command
    }

    private static func program() throws(CoveyError) -> String {
        let path = ProcessEnvironment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        for folder in path.split(separator: ":") where access("\(folder)/ssh", X_OK) == 0 { return "\(folder)/ssh" }
        throw CoveyError(
            .unavailable, "ssh is not installed on this host", remedy: "run: apt-get install openssh-client",
            retryable: false)
    }

    /// Becomes ssh. Returns only by an error.
    private static func become(_ program: String, _ words: [String]) throws -> Int32 {
        // What the runtime ignores, ssh's commands would ignore too.
        _ = signal(SIGPIPE, SIG_DFL)
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        arguments.withUnsafeMutableBufferPointer { buffer in
            if let base = buffer.baseAddress { _ = execv(program, base) }
        }
        throw SystemError("execve", program)
    }
}

extension GlobalOptions {
    /// What ssh is told, with the daemon and tenant that were named by options or environment.
    func sshSettings(_ folder: SSHFolder) throws -> SSHSettings {
        _ = try endpoint
        var path = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let length = readlink("/proc/self/exe", &path, Int(PATH_MAX))
        guard length > 0 else { throw SystemError("readlink", "/proc/self/exe") }
        let program = String(decoding: path[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return SSHSettings(
            program: program, host: host ?? ProcessEnvironment["COVEY_HOST"],
            tenant: tenant ?? ProcessEnvironment["COVEY_TENANT"], key: folder.key)
    }

    /// With the tenant that a machine's name has.
    func of(_ host: SSHHost) -> GlobalOptions {
        var options = self
        options.tenant = host.tenant ?? tenant
        return options
    }
}
