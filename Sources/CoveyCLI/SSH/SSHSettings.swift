internal import CoveyModel

/// What ssh is told about machines. Source: ssh_config(5), OpenSSH 8.5 and later.
struct SSHSettings: Hashable, Sendable {
    /// This program.
    let program: String
    /// The daemon's address, where one was named.
    let host: String?
    /// The tenant of names without one, where one was named.
    let tenant: String?
    /// The private key.
    let key: String

    /// Keywords and values, as a configuration file has them.
    var options: [(String, String)] {
        [
            ("ProxyCommand", command("ssh-proxy", ["--user", "%r", "--", "%h"], quoted: SSHSettings.forShell)),
            // Asked at each connection: a machine that was made anew or renamed has its own key at once.
            ("KnownHostsCommand", command("ssh-known-hosts", ["--", "%H"], quoted: SSHSettings.forSSH)),
            ("UserKnownHostsFile", "/dev/null"), ("GlobalKnownHostsFile", "/dev/null"),
            ("StrictHostKeyChecking", "yes"), ("HostKeyAlgorithms", "ssh-ed25519"), ("CheckHostIP", "no"),
            ("UpdateHostKeys", "no"), ("VerifyHostKeyDNS", "no"),
            ("IdentityFile", SSHSettings.forSSH(key.escapedPercent)), ("IdentitiesOnly", "yes"),
            ("PreferredAuthentications", "publickey"),
        ]
    }

    /// The file that `ssh-config` writes.
    var configuration: String {
        let lines = [("User", "root")] + options
        return """
            # Written by covey ssh-config --install; what is changed here is lost with the next one.
            Host *.vm
            \(lines.map { "    \($0) \($1)" }.joined(separator: "\n"))

            """
    }

    /// Options of ssh(1); they count before any file.
    var arguments: [String] { options.flatMap { ["-o", "\($0)=\($1)"] } }

    private func command(_ verb: String, _ rest: [String], quoted: (String) -> String) -> String {
        var words = [program.escapedPercent, verb]
        if let host { words += ["--host", host.escapedPercent] }
        if let tenant { words += ["--tenant", tenant.escapedPercent] }
        return (words + rest).map(quoted).joined(separator: " ")
    }

    /// A word for the shell that runs a ProxyCommand.
    private static func forShell(_ word: String) -> String {
        let plain = word.utf8.allSatisfy {
            (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || "-_./:".utf8.contains($0)
        }
        return plain
            ? word
            : "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
    }

    /// A word for ssh itself.
    private static func forSSH(_ word: String) -> String {
        guard word.contains(where: { " \t\"\\'#=".contains($0) }) else { return word }
        return "\""
            + word.reduce(into: "") { out, character in
                if character == "\"" || character == "\\" { out.append("\\") }
                out.append(character)
            } + "\""
    }
}

extension String {
    /// With each % doubled: ssh puts values in where one stands.
    fileprivate var escapedPercent: String { reduce(into: "") { $0 += $1 == "%" ? "%%" : String($1) } }
}

/// A machine's name as ssh has it: `NAME.vm` or `NAME.TENANT.vm`, or `NAME` alone.
struct SSHHost: Hashable, Sendable {
    /// The machine's name or id.
    let machine: String
    /// Its tenant; nil is that of who asks.
    let tenant: String?

    /// Reads a name; a port, as ssh writes it (`[NAME]:PORT`), is left out.
    /// Errors: ``ErrorCode/invalid``.
    init(_ text: String) throws(CoveyError) {
        var name = text[...]
        if name.hasPrefix("["), let end = name.firstIndex(of: "]") { name = name.dropFirst().prefix(upTo: end) }
        var labels = name.split(separator: ".", omittingEmptySubsequences: false).map { String($0) }
        if labels.count > 1, labels.last == "vm" { labels.removeLast() }
        guard (1...2).contains(labels.count), labels.allSatisfy({ !$0.isEmpty }) else {
            throw CoveyError(.invalid, "\"\(text)\" is no machine's name", remedy: "use NAME.vm or NAME.TENANT.vm")
        }
        machine = labels[0]
        tenant = labels.count == 2 ? labels[1] : nil
    }
}
