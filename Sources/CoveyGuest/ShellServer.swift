internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The tools disk's ssh server, made ready for one connection.
///
/// OpenSSH's `sshd` is started by its own loader with its own libraries, so that the image needs none, and sees
/// accounts of ours by `nss_wrapper`: the image's, with the user that sshd wants for itself. All of that is sshd's
/// alone: it gives its sessions a new environment. Source: sshd(8), ld.so(8), nss_wrapper(1).
struct ShellServer {
    /// Connections that a machine serves at once.
    static let most = 64

    private static let tools = "/run/covey/tools/ssh"
    private static let folder = "/run/covey/ssh"
    /// Where sshd's unprivileged half is shut in; the path is built into it.
    private static let separation = "/run/sshd"
    private static let ownUser: UInt32 = 64_987
    private static let loader = "ld-linux-x86-64.so.2"
    /// What a session's environment has from sshd or the client.
    private static let ofSessions: Set<String> = [
        "HOME", "USER", "LOGNAME", "SHELL", "MAIL", "TERM", "PWD", "SHLVL", "_",
    ]
    /// The longest environment that sessions get.
    private static let longestEnvironment = 64 << 10

    let id: String
    let shell: GuestShell
    /// The environment of the machine's programs.
    let environment: [String: String]

    private var keys: String { "\(ShellServer.folder)/keys-\(id)" }

    /// Writes what the server reads. Returns the program. Errors: ``ErrorCode/unsupported`` where the tools disk has no
    /// server, ``ErrorCode/notFound`` where the machine has no such user.
    func prepare() throws(CoveyError) -> Program {
        let tools = ShellServer.tools
        guard fileExists("\(tools)/sshd") else {
            throw CoveyError(
                .unsupported, "the tools disk of the machine's kernel has no ssh server",
                remedy: "import the kernel anew (covey kernel import debian), and make the machine anew with it",
                retryable: false)
        }
        let accounts = ShellAccounts.ofThisRoot(adding: ShellServer.ownUser, user: shell.access.user)
        try check(accounts)
        do throws(SystemError) {
            try write(accounts)
        } catch {
            throw error.coveyError
        }
        let folder = ShellServer.folder
        return Program(
            arguments: [
                "\(tools)/\(ShellServer.loader)", "--library-path", tools, "--preload", "\(tools)/libnss_wrapper.so",
                "--argv0", "\(tools)/sshd", "\(tools)/sshd", "-i", "-e", "-f", "\(folder)/sshd_config",
                "-o", "AuthorizedKeysFile=\(keys)",
            ],
            environment: [
                "NSS_WRAPPER_PASSWD": "\(folder)/passwd", "NSS_WRAPPER_GROUP": "\(folder)/group",
                "NSS_WRAPPER_SHADOW": "\(folder)/shadow",
            ], workingDirectory: "/", user: "0", standardInput: true)
    }

    /// Removes what was this connection's alone.
    func finish() {
        do throws(SystemError) { try removeFile(keys) } catch { agentLog("\(error)") }
    }

    private func check(_ accounts: ShellAccounts) throws(CoveyError) {
        guard let account = accounts.account(shell.access.user) else {
            throw CoveyError(
                .notFound, "the machine has no user \(shell.access.user)",
                remedy: "name one that is in its /etc/passwd, or log in as root", retryable: false)
        }
        guard fileExists(account.shell) else {
            throw CoveyError(
                .unsupported, "the machine lacks \(account.shell), the shell of its user \(account.name)",
                remedy: "install busybox-static on the host, and import the kernel anew", retryable: false)
        }
    }

    private func write(_ accounts: ShellAccounts) throws(SystemError) {
        let folder = ShellServer.folder
        try makeFolder(folder, mode: 0o711)
        try makeFolder(ShellServer.separation, mode: 0o755)
        try put("passwd", accounts.passwd, mode: 0o644)
        try put("group", accounts.group, mode: 0o644)
        try put("shadow", accounts.shadow, mode: 0o600)
        try put("host_key", shell.hostKey, mode: 0o600)
        try put("sshd_config", configuration, mode: 0o600)
        // Read by sshd as the user that logs in.
        try put("keys-\(id)", shell.access.keys.map { "\($0)\n" }.joined(), mode: 0o644)
    }

    /// Replaces a file where it differs; another connection may just read it.
    private func put(_ name: String, _ text: String, mode: UInt32) throws(SystemError) {
        let path = "\(ShellServer.folder)/\(name)"
        let bytes = Array(text.utf8)
        do throws(SystemError) { if try readFile(path) == bytes { return } } catch {
            guard error.isErrno(ENOENT) else { throw error }
        }
        try writeFileAtomically(path, bytes, mode: mode)
    }

    /// Source: sshd_config(5). The first value of a keyword counts.
    private var configuration: String {
        var lines = [
            "HostKey \(ShellServer.folder)/host_key", "StrictModes no", "UsePAM no", "UseDNS no", "PidFile none",
            "LogLevel ERROR", "PermitRootLogin prohibit-password", "AuthenticationMethods publickey", "MaxAuthTries 64",
            "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PrintMotd no", "PrintLastLog no",
            "AcceptEnv LANG LC_* COLORTERM", "Subsystem sftp internal-sftp", "ClientAliveInterval 0",
        ]
        let given = sessionEnvironment
        if !given.isEmpty {
            lines.append("SetEnv " + given.map { "\"\($0.0)=\(ShellServer.quoted($0.1))\"" }.joined(separator: " "))
        }
        return lines.map { "\($0)\n" }.joined()
    }

    private var sessionEnvironment: [(String, String)] {
        var environment = environment.filter { name, value in
            !ShellServer.ofSessions.contains(name) && !name.isEmpty
                && name.utf8.allSatisfy {
                    $0 == 95 || (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
                }
                && value.utf8.allSatisfy { $0 >= 32 || $0 == 9 }
        }
        if environment["PATH"] == nil { environment["PATH"] = defaultSearchPath }
        var length = 0
        return environment.sorted { $0.key < $1.key }.prefix { name, value in
            length += name.utf8.count + value.utf8.count
            return length <= ShellServer.longestEnvironment
        }.map { ($0.key, $0.value) }
    }

    private static func quoted(_ value: String) -> String {
        value.reduce(into: "") { out, character in
            if character == "\"" || character == "\\" { out.append("\\") }
            out.append(character)
        }
    }
}
