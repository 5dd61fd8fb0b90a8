internal import Configuration
internal import CoveyModel
internal import CoveySystem
internal import Synchronization

/// One setting, its value and where that came from.
package struct Setting: Hashable, Codable, Sendable {
    /// Its name.
    package var key: String
    /// Its value.
    package var value: String
    /// `default`, `flag`, `environment COVEY_…` or `file PATH:LINE`.
    package var source: String
}

/// A configuration, and for each setting where it came from.
package struct ResolvedConfiguration: Sendable {
    /// The values.
    package let configuration: DaemonConfiguration
    /// All settings in the order of their names.
    package let settings: [Setting]

    /// Reads flags, environment, file and defaults, the first that says something wins.
    ///
    /// - Parameters:
    ///   - root: The root folder of `--root`; nil takes `COVEY_ROOT`, else the host's folders.
    ///   - file: The file of `--config`; nil takes `COVEY_CONFIG`, else the one in its place if there is one.
    ///   - flags: Settings given as flags.
    ///   - environment: The process's environment.
    /// - Throws: ``ErrorCode/invalid`` naming the source for an unknown key or a bad value;
    ///   ``ErrorCode/notFound`` for a named file that is not there.
    package static func load(
        root: String? = nil, file: String? = nil, flags: [SettingKey: String] = [:], environment: [String: String]
    ) throws -> ResolvedConfiguration {
        let root = try absolute(root ?? environment["COVEY_ROOT"].flatMap { $0.isEmpty ? nil : $0 })
        let folders = Folders(root: root)
        let named = file ?? environment["COVEY_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
        let content = try ConfigurationFile.read(named ?? folders.configuration, required: named != nil)
        let reader = SettingReader(flags: flags, environment: environment, file: content, folders: folders)
        let configuration = DaemonConfiguration(
            folders: try reader.folders(), rateLimit: try reader.number(.apiRateLimit, 1...1_000_000),
            consoleLimit: try reader.size(.consoleLimit, .kibibytes(64)...(.gibibytes(64))),
            diskStrategy: try reader.word(.diskStrategy), imageMirror: try reader.text(.imageMirror),
            logLevel: try reader.word(.logLevel),
            accel: try reader.word(.machineAccel), cpus: try reader.number(.machineCPUs, 1...1024),
            memory: try reader.size(.machineMemory, .mebibytes(64)...(.gibibytes(1024))),
            guardProgram: try reader.path(.programGuard), guestProgram: try reader.path(.programGuest),
            qemuProgram: try reader.path(.programQEMU),
            registryAuthorities: try reader.path(.registryAuthorities),
            registryMirrors: try reader.mirrors(), registryPlainHTTP: try reader.registries(),
            socketGroup: try reader.text(.socketGroup), catalogs: try reader.catalogs(),
            catalogCA: try reader.path(.catalogCA), network: try reader.word(.networkMode),
            names: try reader.endpoint(.networkNames), resolvers: try reader.addresses(.networkResolvers),
            taps: try reader.number(.networkTaps, 0...256), guestProxy: try reader.text(.guestProxy),
            guestCA: try reader.path(.guestCA), store: try reader.store(), nodeName: try reader.nodeName(),
            etcdListen: try reader.memberAddress(), etcdJoin: try reader.members(),
            etcdAuthority: try reader.path(.etcdAuthority))
        return ResolvedConfiguration(
            configuration: configuration, settings: try SettingKey.allCases.map { try reader.setting($0) })
    }

    private static func absolute(_ root: String?) throws -> String? {
        guard var root else { return nil }
        guard root.hasPrefix("/"), !root.split(separator: "/").contains("..") else {
            throw CoveyError(.invalid, "the root folder \(root) is not absolute", remedy: "write it from / on")
        }
        while root.count > 1 && root.hasSuffix("/") { root.removeLast() }
        return root
    }
}

/// Reads settings by their type; every refusal names the source.
private struct SettingReader {
    private static let flagSource = "flag"
    private static let environmentSource = "environment"
    private static let fileSource = "file"
    private static let defaultSource = "default"

    /// Remembers which provider answered last.
    private final class Witness: AccessReporter {
        let last = Mutex<String?>(nil)

        func report(_ event: AccessEvent) {
            for answer in event.providerResults {
                if case .success(let result) = answer.result, result.value != nil {
                    return last.withLock { $0 = answer.providerName }
                }
            }
        }
    }

    private let reader: ConfigReader
    private let witness = Witness()
    private let file: ConfigurationFile
    private let root: Folders

    init(flags: [SettingKey: String], environment: [String: String], file: ConfigurationFile, folders: Folders) {
        self.file = file
        root = folders
        let variables = Dictionary(
            uniqueKeysWithValues: SettingKey.allCases.compactMap { key in
                environment[key.environmentVariable].map { (key, $0) }
            })
        let defaults = Dictionary(
            uniqueKeysWithValues: SettingKey.allCases.map { ($0, SettingReader.standard($0, folders)) })
        reader = ConfigReader(
            providers: [
                SettingReader.provider(SettingReader.flagSource, flags),
                SettingReader.provider(SettingReader.environmentSource, variables),
                SettingReader.provider(SettingReader.fileSource, file.values.mapValues(\.text)),
                SettingReader.provider(SettingReader.defaultSource, defaults),
            ], accessReporter: witness)
    }

    func setting(_ key: SettingKey) throws -> Setting {
        let (value, source) = try raw(key)
        return Setting(key: key.rawValue, value: value, source: source)
    }

    func folders() throws -> Folders {
        var folders = root
        folders.socket = try path(.socketPath) ?? root.socket
        return folders
    }

    func text(_ key: SettingKey) throws -> String? {
        let value = try raw(key).value
        return value.isEmpty ? nil : value
    }

    func path(_ key: SettingKey) throws -> String? {
        let (value, source) = try raw(key)
        guard !value.isEmpty else { return nil }
        guard value.hasPrefix("/") else { throw refusal(key, value, source, "is no absolute path") }
        return value
    }

    func catalogs() throws -> [CatalogSource] {
        let (value, source) = try raw(.catalogSources)
        var found: [CatalogSource] = []
        for word in value.split(whereSeparator: \.isWhitespace) {
            do throws(CoveyError) { found.append(try CatalogSource(String(word))) } catch {
                var error = error
                error.message = "\(SettingKey.catalogSources.rawValue) from \(source): \(error.message)"
                throw error
            }
        }
        for name in found.map(\.name) where found.filter({ $0.name == name }).count > 1 {
            throw refusal(.catalogSources, value, source, "names \(name) twice")
        }
        return found
    }

    func number(_ key: SettingKey, _ range: ClosedRange<Int>) throws -> Int {
        let (value, source) = try raw(key)
        guard let number = Int(value), range.contains(number) else {
            throw refusal(key, value, source, "is no number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func size(_ key: SettingKey, _ range: ClosedRange<ByteCount>) throws -> ByteCount {
        let (value, source) = try raw(key)
        guard let size = ByteCount(value), range.contains(size) else {
            throw refusal(key, value, source, "is no size from \(range.lowerBound) to \(range.upperBound)")
        }
        return size
    }

    func word<Word: RawRepresentable & CaseIterable>(_ key: SettingKey) throws -> Word where Word.RawValue == String {
        let (value, source) = try raw(key)
        guard let word = Word(rawValue: value) else {
            throw refusal(
                key, value, source, "is none of \(Word.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return word
    }

    /// Addresses with commas between.
    func addresses(_ key: SettingKey) throws -> [IPAddress] {
        let (value, source) = try raw(key)
        return try list(value).map { text in
            guard let address = IPAddress(text) else { throw refusal(key, text, source, "is no IP address") }
            return address
        }
    }

    /// `ADDRESS:PORT`, with brackets around IPv6; nil where it is empty.
    func endpoint(_ key: SettingKey) throws -> DaemonConfiguration.Endpoint? {
        let (value, source) = try raw(key)
        guard !value.isEmpty else { return nil }
        let bare = value.lastIndex(of: ":").map { (value[..<$0], value[value.index(after: $0)...]) }
        guard let (host, digits) = bare, let port = UInt16(digits), port > 0,
            let address = IPAddress(
                host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : String(host))
        else { throw refusal(key, value, source, "is not ADDRESS:PORT") }
        return DaemonConfiguration.Endpoint(address: address, port: port)
    }

    /// Hosts of registries, as references name them.
    func registries() throws -> Set<String> {
        let (value, source) = try raw(.registryPlainHTTP)
        return Set(
            try list(value).map { host in
                guard isRegistry(host) else {
                    throw refusal(.registryPlainHTTP, host, source, "is no host of a registry")
                }
                return host
            })
    }

    /// URLs by the registry that they mirror, in their order.
    func mirrors() throws -> [String: [String]] {
        let (value, source) = try raw(.registryMirrors)
        var mirrors: [String: [String]] = [:]
        for entry in list(value) {
            let parts = entry.split(separator: "=", maxSplits: 1).map { String($0) }
            guard parts.count == 2, isRegistry(parts[0]),
                parts[1].hasPrefix("https://") || parts[1].hasPrefix("http://")
            else { throw refusal(.registryMirrors, entry, source, "is not REGISTRY=URL") }
            mirrors[parts[0], default: []].append(parts[1])
        }
        return mirrors
    }

    /// The address of a store; nil for the file.
    func store() throws -> String? {
        let (value, source) = try raw(.store)
        if value == "sqlite" { return nil }
        guard value == "etcd" || value.hasPrefix("etcd://") else { throw refusal(.store, value, source, "is neither") }
        return value
    }

    /// A node's name; nil for the host's.
    func nodeName() throws -> String? {
        let (value, source) = try raw(.nodeName)
        if value.isEmpty { return nil }
        do throws(CoveyError) { try Names.checkLabel(value, kind: "node") } catch {
            throw refusal(.nodeName, value, source, "is no name of a node")
        }
        return value
    }

    /// Where the daemon's own member of etcd listens; nil where it is empty.
    func memberAddress() throws -> DaemonConfiguration.Endpoint? {
        guard let endpoint = try endpoint(.etcdListen) else { return nil }
        let (value, source) = try raw(.etcdListen)
        guard !["0.0.0.0", "::"].contains("\(endpoint.address)"), endpoint.port < .max else {
            throw refusal(.etcdListen, value, source, "is no address that others can be told")
        }
        return endpoint
    }

    /// Members of an etcd, `HOST:PORT`.
    func members() throws -> [String] {
        let (value, source) = try raw(.etcdJoin)
        return try list(value).map { member in
            guard let colon = member.lastIndex(of: ":"), colon != member.startIndex,
                let port = UInt16(member[member.index(after: colon)...]), port > 0, !member.contains("/")
            else { throw refusal(.etcdJoin, member, source, "is not HOST:PORT") }
            return member
        }
    }

    private func list(_ value: String) -> [String] {
        value.split(whereSeparator: { $0 == "," || $0.isWhitespace }).map { String($0) }
    }

    private func isRegistry(_ host: String) -> Bool {
        do throws(CoveyError) { return try ImageReference("\(host)/x/y").registry == host } catch { return false }
    }

    private func raw(_ key: SettingKey) throws -> (value: String, source: String) {
        let value = try reader.requiredString(forKey: ConfigKey(key.components))
        let name = witness.last.withLock { $0 } ?? ""
        if name.contains(SettingReader.flagSource) { return (value, SettingReader.flagSource) }
        if name.contains(SettingReader.environmentSource) {
            return (value, "\(SettingReader.environmentSource) \(key.environmentVariable)")
        }
        if name.contains(SettingReader.fileSource) {
            return (value, "\(SettingReader.fileSource) \(file.path):\(file.values[key]?.line ?? 0)")
        }
        return (value, SettingReader.defaultSource)
    }

    private func refusal(_ key: SettingKey, _ value: String, _ source: String, _ why: String) -> CoveyError {
        CoveyError(
            .invalid, "\(key.rawValue) from \(source): \"\(value)\" \(why)",
            remedy: "\(key.rawValue): \(key.explanation)")
    }

    private static func provider(_ name: String, _ values: [SettingKey: String]) -> InMemoryProvider {
        var contents: [AbsoluteConfigKey: ConfigValue] = [:]
        for (key, value) in values {
            contents[AbsoluteConfigKey(key.components)] = ConfigValue(.string(value), isSecret: false)
        }
        return InMemoryProvider(name: name, values: contents)
    }

    private static func standard(_ key: SettingKey, _ folders: Folders) -> String {
        switch key {
        case .apiRateLimit: "1000"
        case .consoleLimit: "16M"
        case .diskStrategy: "auto"
        case .logLevel: "info"
        case .machineAccel: "auto"
        case .machineCPUs: "1"
        case .machineMemory: "256M"
        case .networkMode: "auto"
        case .networkNames: "127.0.0.153:5354"
        case .networkTaps: "8"
        case .catalogCA, .catalogSources, .etcdAuthority, .etcdJoin, .etcdListen, .guestCA, .guestProxy, .imageMirror,
            .networkResolvers, .nodeName, .programGuard,
            .programGuest, .programQEMU,
            .registryAuthorities, .registryMirrors, .registryPlainHTTP, .socketGroup:
            ""
        case .socketPath: folders.socket
        case .store: "sqlite"
        }
    }
}
