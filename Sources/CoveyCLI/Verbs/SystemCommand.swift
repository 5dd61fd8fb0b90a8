internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey system`.
struct SystemCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "system", abstract: "The node as a whole.", discussion: "Example: covey system df",
        subcommands: [
            SystemDiskCommand.self, SystemBackupCommand.self, SystemRestoreCommand.self, SystemMoveCommand.self,
            SystemUninstallCommand.self,
        ])
}

/// `covey system df`.
struct SystemDiskCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "df", abstract: "Say what the node's disk is used for.",
        discussion: """
            RECLAIMABLE is what nothing needs: of images and blobs `covey image prune --all` gives it back, of the
            others rm: kernels of no machine, volumes that are attached to none, machines that are stopped.

            Example: covey system df
            """)

    @OptionGroup var global: GlobalOptions

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let columns: [Column<DiskUsage>] = [
                Column("KIND") { $0.kind.rawValue }, Column("COUNT") { String($0.count) },
                Column("SIZE") { $0.size.rounded }, Column("ALLOCATED") { $0.allocated.rounded },
                Column("RECLAIMABLE") { $0.reclaimable.rounded },
            ]
            try global.printed.list(try await client.diskUsage(), columns) { $0.kind.rawValue }
            return 0
        }
    }
}
