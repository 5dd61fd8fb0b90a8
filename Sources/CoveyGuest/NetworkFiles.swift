internal import CCovey
internal import CoveyGuestProtocol
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a machine.
///
/// They lie below `/run/covey/etc` and are mounted over the image's, or over the link that the image has in their place:
/// the disk stays as it is. docs/adr/0015-guest-network.md says why.
enum NetworkFiles {
    private static let folder = "/run/covey/etc"

    /// Lines of the disk's own hosts file that stay in force; a file, since the next agent has to know them, too.
    private static let kept = "\(folder)/hosts.image"

    /// Writes the files and sees to it that they are seen; what fails is on the console.
    static func write(hostname: String?, _ network: GuestNetwork?) {
        attempt { () throws(SystemError) in
            try makeFolder(folder, mode: 0o755)
            if !fileExists(kept) { try fill(kept, kept(of: (try? readText("/etc/hosts")) ?? "", hostname: hostname)) }
        }
        let image = (try? readText(kept)) ?? ""
        var files = [("hosts", hosts(hostname, network?.hosts ?? []) + image)]
        if let hostname { files.append(("hostname", "\(hostname)\n")) }
        if let network, !network.resolvers.isEmpty { files.append(("resolv.conf", resolver(network))) }
        for (name, text) in files {
            attempt { () throws(SystemError) in try overlay(name, text, at: "/etc/\(name)") }
        }
    }

    /// Lets a text be seen in place of a file, which stays as it is on the disk.
    static func overlay(_ name: String, _ text: String, at target: String) throws(SystemError) {
        try makeFolder(folder, mode: 0o755)
        try fill("\(folder)/\(name)", text)
        try show("\(folder)/\(name)", at: target)
    }

    /// Changes a file's content in its place: what is mounted is the file, not its name.
    static func fill(_ path: String, _ text: String) throws(SystemError) {
        let file = try openFile(path, [.writeOnly, .create], mode: 0o644)
        let bytes = Array(text.utf8)
        try writeAll(file.raw, bytes)
        try check("ftruncate", path) { ftruncate(file.raw, off_t(bytes.count)) }
        try check("fchmod", path) { fchmod(file.raw, 0o644) }
    }

    /// Mounts a file over another unless it is there; where there is none, an empty one is made to mount over.
    private static func show(_ source: String, at target: String) throws(SystemError) {
        let ours = try identity(source)
        if let there = try? identity(target), there == ours { return }
        if (try? identity(target)) == nil {
            try makeFolder(parentFolder(target), mode: 0o755)
            _ = try openFile(target, [.writeOnly, .create, .exclusive, .noFollow], mode: 0o644)
        }
        try check("move_mount", target) { covey_mount_over(source, target) }
    }

    /// Which file a path is, without following a link at its end.
    private static func identity(_ path: String) throws(SystemError) -> [UInt64] {
        var facts = stat()
        try check("lstat", path) { lstat(path, &facts) }
        return [UInt64(facts.st_dev), UInt64(facts.st_ino)]
    }

    // MARK: the texts

    /// The hosts file's own lines: loopback, what the host says, and the machine's name in any case.
    static func hosts(_ hostname: String?, _ hosts: [GuestHost]) -> String {
        var lines = [
            "127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback", "ff02::1 ip6-allnodes",
            "ff02::2 ip6-allrouters",
        ]
        if let hostname, !hosts.contains(where: { $0.names.contains(hostname) }) {
            // As Debian does it where a machine has no address that stays.
            lines.append("127.0.1.1 \(hostname)")
        }
        lines += hosts.map { "\($0.address) \($0.names.joined(separator: " "))" }
        return lines.map { $0 + "\n" }.joined()
    }

    /// The lines of an image's hosts file that say something of other machines.
    static func kept(of text: String, hostname: String?) -> String {
        text.utf8.split(separator: UInt8(ascii: "\n")).compactMap { line -> String? in
            let fields = line.prefix { $0 != UInt8(ascii: "#") }
                .split(whereSeparator: { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") })
                .map { String(Substring($0)) }
            guard fields.count > 1, let address = IPAddress(fields[0]), !fields.dropFirst().contains(hostname ?? "")
            else { return nil }
            switch address {
            case .v4(let four): if four.isLoopback { return nil }
            case .v6(let six): if six.high == 0 && six.low == 1 || six.high >> 56 == 0xFF { return nil }
            }
            return fields.joined(separator: " ") + "\n"
        }.joined()
    }

    /// What resolvers of every kind understand; they look at three servers and not more. Source: resolv.conf(5).
    static func resolver(_ network: GuestNetwork) -> String {
        var lines = network.resolvers.prefix(3).map { "nameserver \($0)" }
        if !network.searchDomains.isEmpty { lines.append("search \(network.searchDomains.joined(separator: " "))") }
        return lines.map { $0 + "\n" }.joined()
    }
}
