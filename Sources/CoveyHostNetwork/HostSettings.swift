internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import Glibc

/// A setting of the kernel's network, in the namespace of the calling thread. Source: `Documentation/networking/ip-sysctl.rst`.
struct HostSetting: Hashable, Sendable {
    /// Its path below `/proc/sys`.
    let key: String

    /// The setting of a path.
    init(_ key: String) { self.key = key }

    /// Its value; nil where there is none.
    var value: String? {
        guard let text = try? readText("/proc/sys/\(key)") else { return nil }
        return String(text.prefix { $0 != "\n" })
    }

    /// Sets it, where it is another.
    func set(_ value: String) throws(SystemError) {
        if self.value == value { return }
        let file = try openFile("/proc/sys/\(key)", .writeOnly)
        try writeAll(file.raw, Array(value.utf8))
    }

    /// Whether the kernel has IPv6 at all.
    static var hasIPv6Tree: Bool { fileExists("/proc/sys/net/ipv6/conf/all/disable_ipv6") }

    /// Whether IPv6 can be carried.
    static var hasIPv6: Bool { HostSetting("net/ipv6/conf/all/disable_ipv6").value == "0" }

    /// The setting of every link, `all` and `default`.
    static func ofLinks(_ version: String, _ name: String) throws(SystemError) -> [HostSetting] {
        try listFolder("/proc/sys/net/\(version)/conf").map { HostSetting("net/\(version)/conf/\($0)/\(name)") }
    }

    /// The link that it is of; nil for another setting.
    var link: String? {
        let parts = key.split(separator: "/")
        guard parts.count == 5, parts[2] == "conf", parts[3] != "all", parts[3] != "default" else { return nil }
        return String(parts[3])
    }
}

/// Settings of the host that we changed, with what they were before, in a file: written before the change.
struct HostSettings: Sendable {
    /// What stands in the file.
    struct Record: Codable, Hashable, Sendable {
        /// A setting that was changed, or changes with one that was.
        struct Entry: Codable, Hashable, Sendable {
            var key: String
            var before: String
        }

        var version = 1
        /// The boot in which it was changed: another one knows nothing of it.
        var boot: String
        /// In the order in which they are put back.
        var entries: [Entry] = []
        /// Links between which nothing was forwarded before.
        var quiet: [String] = []
    }

    private let path: String
    private(set) var record: Record

    /// Reads the record of a folder. What cannot be read is moved aside, and said by `onProblem`.
    init(folder: String, onProblem: (String) -> Void) throws {
        path = "\(folder)/network-settings.json"
        record = Record(boot: try currentBootID())
        guard fileExists(path) else { return }
        do {
            let read = try JSONDecoder().decode(Record.self, from: Data(try readFile(path, limit: 4 << 20)))
            if read.boot == record.boot { record = read }
        } catch is DecodingError {
            let aside = try moveAside(path) ?? path
            onProblem("the host's settings before Covey changed them cannot be read any more: see \(aside)")
        }
    }

    /// Links between which nothing was forwarded before we turned forwarding on, and nothing shall be.
    var quiet: [String] { record.quiet }

    /// Turns forwarding on. `isOurs` tells our own links, which need no record.
    mutating func forward(version6: Bool, isOurs: (String) -> Bool) throws {
        try forward4(isOurs)
        if version6 { try forward6(isOurs) }
    }

    private mutating func forward4(_ isOurs: (String) -> Bool) throws {
        let forwarding = HostSetting("net/ipv4/ip_forward")
        if forwarding.value == "1" { return }
        // The kernel changes these along with it (inet_forward_change).
        let along =
            [HostSetting("net/ipv4/conf/all/accept_redirects")] + (try HostSetting.ofLinks("ipv4", "forwarding"))
        try note([forwarding] + along.filter { $0.link.map { !isOurs($0) } ?? true })
        try silence(try HostSetting.ofLinks("ipv4", "forwarding"), isOurs)
        try forwarding.set("1")
    }

    private mutating func forward6(_ isOurs: (String) -> Bool) throws {
        let forwarding = HostSetting("net/ipv6/conf/all/forwarding")
        if forwarding.value == "1" { return }
        let links = try HostSetting.ofLinks("ipv6", "forwarding")
        // A router does not listen to routers, unless it is told to: the host keeps the default route that it was given.
        let listening = try HostSetting.ofLinks("ipv6", "accept_ra").filter { setting in
            setting.value == "1" && setting.link.map { !isOurs($0) } ?? false
        }
        try note([forwarding] + (links + listening).filter { $0.link.map { !isOurs($0) } ?? true })
        try silence(links, isOurs)
        for setting in listening { try setting.set("2") }
        try forwarding.set("1")
    }

    private mutating func silence(_ settings: [HostSetting], _ isOurs: (String) -> Bool) throws {
        let links = settings.compactMap(\.link).filter { $0 != "lo" && !isOurs($0) }
        record.quiet = Set(record.quiet + links).sorted()
        try save()
    }

    private mutating func note(_ settings: [HostSetting]) throws {
        for setting in settings where !record.entries.contains(where: { $0.key == setting.key }) {
            guard let before = setting.value else { continue }
            record.entries.append(Record.Entry(key: setting.key, before: before))
        }
        try save()
    }

    private func save() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try writeFileAtomically(path, Array(try encoder.encode(record)))
    }

    /// Puts everything back, and forgets it. A link's setting whose link has gone is forgotten too.
    mutating func restore() throws {
        for entry in record.entries where HostSetting(entry.key).value != nil {
            try HostSetting(entry.key).set(entry.before)
        }
        record = Record(boot: record.boot)
        try removeFile(path)
    }
}
