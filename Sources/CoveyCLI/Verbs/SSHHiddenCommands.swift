internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// `covey ssh-proxy`: what ssh runs to reach a machine. Its bytes go through the guest channel.
struct SSHProxyCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ssh-proxy", abstract: "Carry a connection of ssh to a machine; for ssh's ProxyCommand.",
        discussion: "Example: covey ssh-proxy --user root web.vm", shouldDisplay: false)

    @OptionGroup var global: GlobalOptions

    @Option(help: "The machine's user.")
    var user = "root"

    @Argument(help: "The machine.")
    var vm: String

    func exitCode(of error: CoveyError) -> Int32 { 255 }

    func perform() async throws -> Int32 {
        let host = try SSHHost(vm)
        let key = try await BlockingPool("covey-ssh").run { _ in try SSHFolder.ofUser().publicKey() }
        let streams = try StandardStreams()
        let access = ShellAccess(user: user, keys: [key])
        try access.check()
        var source = ExecSource()
        source.standardInput = { @Sendable () async throws -> [UInt8]? in try await streams.read() }
        let given = source
        return try await global.of(host).connect { client in
            let exit = try await client.shell(host.machine, access, source: given) { piece in
                switch piece {
                case .stdout(let bytes): try await streams.write(STDOUT_FILENO, bytes)
                case .stderr(let bytes): try await streams.write(STDERR_FILENO, bytes)
                case .started, .caughtUp, .exited: break
                }
            }
            return exit?.code ?? 0
        }
    }

    func execute() async -> Int32 {
        do { return try await perform() } catch {
            let known = CoveyError.wrapping(error)
            // ssh has gone before its server: it knows why.
            if known.code != .cancelled { Standard.error(ErrorText.lines(known)) }
            return exitCode(of: known)
        }
    }
}

/// `covey ssh-known-hosts`: what ssh asks for a machine's host key.
struct SSHKnownHostsCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ssh-known-hosts", abstract: "Print a machine's host key; for ssh's KnownHostsCommand.",
        discussion: "Example: covey ssh-known-hosts web.vm", shouldDisplay: false)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The machine, as ssh names it.")
    var vm: String

    func perform() async throws -> Int32 {
        let host = try SSHHost(vm)
        return try await global.of(host).connect { client in
            let machine = try await client.machine(host.machine)
            guard let key = machine.status.sshHostKey else {
                throw CoveyError(
                    .conflict, "vm \(machine.metadata.name) has no host key yet",
                    remedy: "start it: covey vm start \(machine.metadata.name)")
            }
            Standard.output("\(vm) \(key)\n")
            return 0
        }
    }
}
