internal import CoveySystem
internal import Glibc

/// Whom a program runs as.
struct Identity: Equatable {
    var user: UInt32
    var group: UInt32
    var groups: [UInt32]
    var home: String
    var name: String
}

/// The accounts of the root file system, read anew for each program: `/etc/passwd` and `/etc/group`.
struct Accounts {
    private let users: [[Substring]]
    private let groups: [[Substring]]

    /// Reads the files' text.
    init(passwd: String, group: String) {
        func records(_ text: String) -> [[Substring]] {
            text.split(separator: "\n").map { $0.split(separator: ":", omittingEmptySubsequences: false) }
        }
        users = records(passwd).filter { $0.count >= 6 }
        groups = records(group).filter { $0.count >= 3 }
    }

    /// Reads the files; one that is missing counts as empty.
    static func ofThisRoot() -> Accounts {
        func text(_ path: String) -> String {
            do throws(SystemError) { return try readText(path) } catch { return "" }
        }
        return Accounts(passwd: text("/etc/passwd"), group: text("/etc/group"))
    }

    /// Whom `name`, `uid`, `name:group` or `uid:gid` means; nil is root. Nil where a name is not known.
    func identity(_ text: String?) -> Identity? {
        let parts = (text ?? "0").split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let wanted = parts[0].isEmpty ? "0" : parts[0]
        let record =
            users.first { $0[0] == wanted }
            ?? users.first { UInt32($0[2]) != nil && UInt32($0[2]) == UInt32(wanted) }
        guard let user = record.flatMap({ UInt32($0[2]) }) ?? UInt32(wanted), user != .max else { return nil }
        var identity = Identity(
            user: user, group: record.flatMap { UInt32($0[3]) } ?? 0, groups: [],
            home: record.map { String($0[5]) } ?? "/", name: record.map { String($0[0]) } ?? String(wanted))
        if identity.home.isEmpty { identity.home = "/" }
        if parts.count == 2 {
            let entry = groups.first { $0[0] == parts[1] }
            guard let group = entry.flatMap({ UInt32($0[2]) }) ?? UInt32(parts[1]), group != .max else { return nil }
            identity.group = group
            identity.groups = [group]
        } else {
            let named = groups.filter { $0.count >= 4 && $0[3].split(separator: ",").contains(identity.name[...]) }
            let member = named.compactMap { UInt32($0[2]) }
            identity.groups = [identity.group] + member.filter { $0 != identity.group }
        }
        return identity
    }
}
