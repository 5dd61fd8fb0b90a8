internal import CoveySystem

/// The image's accounts as the tools disk's ssh server is to see them.
///
/// Differences: the user that sshd wants for itself is there; a shell that the image lacks is the tools disk's; a user
/// named by its number is there under it; no account is locked, since who may run programs in a machine may log in.
struct ShellAccounts {
    /// A user.
    struct Account: Equatable {
        var name: String
        var shell: String
    }

    /// The shell of users whose own the image lacks.
    static let spareShell = "/run/covey/tools/ssh/sh"

    /// The text of `/etc/passwd`.
    let passwd: String
    /// The text of `/etc/group`.
    let group: String
    /// The text of `/etc/shadow`: nobody has a password, and nobody is locked out.
    let shadow: String
    private let accounts: [Account]

    /// Makes them from the image's text.
    ///
    /// - Parameters:
    ///   - ownUser: The uid of the user `sshd`, where the image has none.
    ///   - user: Who wants to log in, where the image may know it by its number alone.
    ///   - exists: Whether a file is there.
    init(passwd: String, group: String, adding ownUser: UInt32, user: String? = nil, exists: (String) -> Bool) {
        let hasSpare = exists(ShellAccounts.spareShell)
        func usable(_ shell: Substring) -> String {
            let wanted = shell.isEmpty ? "/bin/sh" : String(shell)
            return exists(wanted) || !hasSpare ? wanted : ShellAccounts.spareShell
        }
        var records: [[String]] = []
        for line in passwd.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 7, !fields[0].isEmpty, !"+-#".contains(fields[0].first ?? "#"),
                UInt32(fields[2]) != nil,
                UInt32(fields[3]) != nil
            else { continue }
            records.append(
                [fields[0], "x", fields[2], fields[3], fields[4], fields[5]].map { String($0) } + [usable(fields[6])])
        }
        if !records.contains(where: { $0[0] == "root" }) {
            records.insert(["root", "x", "0", "0", "root", "/root", usable("")], at: 0)
        }
        if let user, let number = UInt32(user), !records.contains(where: { $0[0] == user }) {
            let known = records.first { UInt32($0[2]) == number }
            records.append([user, "x"] + (known.map { Array($0[2...]) } ?? [user, "0", "", "/", usable("")]))
        }
        accounts = records.map { Account(name: $0[0], shell: $0[6]) }
        if !records.contains(where: { $0[0] == "sshd" }) {
            records.append(["sshd", "x", "\(ownUser)", "\(ownUser)", "", "/run/sshd", "/bin/false"])
        }
        self.passwd = records.map { $0.joined(separator: ":") + "\n" }.joined()
        shadow = records.map { "\($0[0]):*:::::::\n" }.joined()
        self.group = group.isEmpty ? "root:x:0:\n" : group.hasSuffix("\n") ? group : group + "\n"
    }

    /// Reads the image's; a file that is missing counts as empty.
    static func ofThisRoot(adding ownUser: UInt32, user: String? = nil) -> ShellAccounts {
        func text(_ path: String) -> String {
            do throws(SystemError) { return try readText(path) } catch { return "" }
        }
        return ShellAccounts(
            passwd: text("/etc/passwd"), group: text("/etc/group"), adding: ownUser, user: user, exists: fileExists)
    }

    /// The user of a name; nil where there is none.
    func account(_ name: String) -> Account? { accounts.first { $0.name == name } }
}
