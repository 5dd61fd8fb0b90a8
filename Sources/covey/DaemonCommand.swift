internal import ArgumentParser
internal import CoveyConfiguration
internal import CoveyDaemon
internal import CoveyModel
internal import CoveyNode
internal import CoveyRegistry
internal import Glibc
internal import Logging

/// `covey daemon`: runs the daemon in the foreground.
struct DaemonCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "daemon", abstract: "Run the daemon in the foreground.",
        discussion: """
            Machines go on when the daemon ends, and the next one takes them over.

            Example: covey daemon --root /srv/covey
            """)

    @Option(help: "Keep everything below this folder instead of in /var/lib/covey and /run/covey.")
    var root: String?

    @Option(help: "The configuration file.")
    var config: String?

    @Option(help: "trace, debug, info, notice, warning, error or critical.")
    var logLevel: String?

    @Option(
        help:
            "Where state is kept: sqlite, etcd (a member of its own), or etcd://HOST:PORT,…/PREFIX?ca=FILE&cert=FILE&key=FILE."
    )
    var store: String?

    @Option(help: "The node's name among the daemons of one store, where it is not to be the host's.")
    var nodeName: String?

    @Flag(help: "Make the root's folders and identity, print its instance id, and end.")
    var prepare = false

    func run() async throws {
        guard geteuid() == 0 else {
            throw CoveyError(.denied, "the daemon needs root", remedy: "sudo covey daemon")
        }
        var flags: [SettingKey: String] = [:]
        if let logLevel { flags[.logLevel] = logLevel }
        if let store { flags[.store] = store }
        if let nodeName { flags[.nodeName] = nodeName }
        let resolved = try ResolvedConfiguration.load(
            root: root, file: config, flags: flags, environment: environment())
        let settings = try settings(resolved.configuration)
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        var logger = Logger(label: "covey")
        logger.logLevel = settings.logLevel
        // Files say their mode themselves, and images are built from files that others may read.
        umask(0o022)
        let daemon = Daemon(settings, logger: logger)
        if prepare { return print(try await daemon.prepare()) }
        try await daemon.run()
    }

    private func settings(_ configuration: DaemonConfiguration) throws -> DaemonSettings {
        let folders = configuration.folders
        let programs = ProgramFolder.current
        var settings = DaemonSettings(
            paths: DaemonPaths(
                socket: folders.socket, state: folders.state, images: folders.images, kernels: folders.kernels,
                volumes: folders.volumes, machines: folders.machines, run: folders.run,
                guardProgram: configuration.guardProgram ?? programs.path("covey-guard"),
                guestProgram: configuration.guestProgram ?? programs.guest), root: folders.root)
        settings.commit = CoveyProgram.commit
        settings.qemu = configuration.qemuProgram
        settings.defaultCPUs = configuration.cpus
        settings.defaultMemory = configuration.memory
        settings.accelerator = configuration.accel
        settings.diskStrategy = configuration.diskStrategy
        settings.node.consoleLimit = configuration.consoleLimit
        settings.logLevel = Logger.Level(rawValue: configuration.logLevel.rawValue) ?? .info
        settings.socketGroup = try configuration.socketGroup.map { try group($0) }
        settings.catalogs = configuration.catalogs
        settings.catalogCA = configuration.catalogCA
        settings.imageMirror = configuration.imageMirror
        settings.rateLimit = configuration.rateLimit
        settings.store = configuration.store
        settings.nodeName = configuration.nodeName
        settings.etcd = configuration.etcd
        settings.hasNetworks = configuration.network == .auto
        settings.namesEndpoint = configuration.names.map { ($0.address, $0.port) }
        settings.resolvers = configuration.resolvers
        settings.spareTaps = configuration.taps
        settings.guestAuthorities = configuration.guestCA
        settings.node.proxy = configuration.guestProxy
        settings.registries = RegistrySettings(
            plainHTTP: configuration.registryPlainHTTP, mirrors: configuration.registryMirrors,
            authorities: configuration.registryAuthorities.map { [$0] } ?? [])
        return settings
    }

    private func group(_ name: String) throws -> UInt32 {
        if let number = UInt32(name) { return number }
        guard let entry = getgrnam(name) else {
            throw CoveyError(.invalid, "there is no group \(name)", remedy: "groupadd --system \(name)")
        }
        return entry.pointee.gr_gid
    }

    private func environment() -> [String: String] {
        var found: [String: String] = [:]
        for name in SettingKey.allCases.map(\.environmentVariable) + ["COVEY_ROOT", "COVEY_CONFIG"] {
            if let value = getenv(name) { found[name] = String(cString: value) }
        }
        return found
    }
}

/// The folder that this program lies in.
struct ProgramFolder {
    let folder: String

    static var current: ProgramFolder {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let end = path.lastIndex(of: "/") ?? path.startIndex
        return ProgramFolder(folder: String(path[..<end]))
    }

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    /// The guest agent, without symbols where there is one: the smaller it is, the sooner a machine is up.
    var guest: String {
        let stripped = path("covey-guest.stripped")
        return access(stripped, R_OK) == 0 ? stripped : path("covey-guest")
    }
}
