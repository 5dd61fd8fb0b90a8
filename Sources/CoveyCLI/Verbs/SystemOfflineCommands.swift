internal import ArgumentParser
internal import CoveyConfiguration
internal import CoveyModel

/// Names a root whose daemon does not run.
struct RootOptions: ParsableArguments, Sendable {
    @Option(help: "The daemon's root folder (COVEY_ROOT).", completion: .directory)
    var root: String?

    @Option(help: "The daemon's configuration file (COVEY_CONFIG).", completion: .file())
    var config: String?

    @Option(help: "The daemon's store, where the configuration does not say: sqlite or etcd://….")
    var store: String?

    /// What the configuration says of it.
    func resolved() throws -> OfflineRoot {
        let resolved = try ResolvedConfiguration.load(
            root: root, file: config, flags: store.map { [.store: $0] } ?? [:], environment: ProcessEnvironment.all)
        let folders = resolved.configuration.folders
        return OfflineRoot(
            state: folders.state, machines: folders.machines, run: folders.run, store: resolved.configuration.store,
            configuration: resolved.configuration)
    }

    /// The actions. Errors: ``ErrorCode/unsupported`` in a program that has none.
    var actions: OfflineActions {
        get throws(CoveyError) {
            guard let actions = CommandLineProgram.offline else {
                throw CoveyError(.unsupported, "this program knows no stores", remedy: "use covey")
            }
            return actions
        }
    }
}

/// `covey system restore`.
struct SystemRestoreCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Put a backup in place of a daemon's state; the daemon must not run.",
        discussion: """
            A new root becomes the one that the backup was taken of. All daemons of the store must be stopped.

            With `store: etcd` the file may also be a snapshot of etcd, as state/etcd.snapshots has them: the daemon's own
            member begins a new etcd with it. With --survivor it goes on with what it has itself, when the other members
            are gone for good; both are refused while another member answers. The other members are of before then:
            `covey system uninstall` on their hosts, and they join as new ones.

            Example: covey system restore /var/backups/covey-2026-01-31 --root /srv/covey
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var place: RootOptions

    @Argument(help: "A file that `covey system backup` has written, or a snapshot of etcd.", completion: .file())
    var file: String?

    @Flag(help: "Throw away the state that is there.")
    var replace = false

    @Flag(help: "Let the daemon's own etcd member go on without the others, which are gone for good.")
    var survivor = false

    func validate() throws {
        if survivor == (file != nil) { throw ValidationError("name a file, or give --survivor") }
        if survivor && replace { throw ValidationError("--survivor keeps what is there: it goes without --replace") }
    }

    func perform() async throws -> Int32 {
        let restored = try await place.actions.restore(try place.resolved(), file, replace)
        try global.printed.object(restored, name: restored.incarnation)
        return 0
    }
}

/// `covey system move`.
struct SystemMoveCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "move", abstract: "Move a daemon's state to another store; the daemon must not run.",
        discussion: """
            Machines go on meanwhile. Whenever it is ended, the state is in one of the two stores, the daemon starts on
            that one alone, and the same command goes on. Afterwards the setting `store` has to name the new one.

            Example: covey system move --to etcd://10.0.0.1:2379,10.0.0.2:2379 --root /srv/covey
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var place: RootOptions

    @Option(help: "Where to: sqlite, or etcd://HOST:PORT,HOST:PORT/PREFIX?ca=FILE&cert=FILE&key=FILE.")
    var to: String

    func perform() async throws -> Int32 {
        guard to == "sqlite" || to == "etcd" || to.hasPrefix("etcd://") else {
            throw ValidationError("--to is none of sqlite, etcd and etcd://HOST:PORT")
        }
        let moved = try await place.actions.move(try place.resolved(), to == "sqlite" ? nil : to)
        try global.printed.object(moved, name: moved.to)
        Standard.error("start the daemon with --store \(to) from now on, or set `store: \(to)`\n")
        return 0
    }
}

/// `covey system uninstall`.
struct SystemUninstallCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "uninstall", abstract: "Take back what a daemon has changed of its host; it must not run.",
        discussion: """
            Bridges, taps, firewall rules and the resolver's file go, and settings become what they were. What is stored
            stays: machines, images and volumes are there when the daemon is started again.

            The daemon's own etcd member leaves the others where there are some, which must have a quorum without it.

            Example: covey system uninstall --root /srv/covey
            """)

    @OptionGroup var global: GlobalOptions
    @OptionGroup var place: RootOptions

    func perform() async throws -> Int32 {
        for line in try await place.actions.uninstall(try place.resolved()) { Standard.output(line + "\n") }
        return 0
    }
}
