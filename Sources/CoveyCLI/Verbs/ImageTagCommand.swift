internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey image tag`.
struct ImageTagCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "tag", abstract: "Give an image a further name.",
        discussion: """
            The content is shared, and stays until its last name is removed.

            Example: covey image tag docker.io/library/alpine base
            """)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The image.")
    var image: String

    @Argument(help: "The further name.")
    var name: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let asked = try await client.tagImage(image, as: name)
            try await client.finishShowing(asked.operation, quiet: global.quiet)
            try global.printed.mutated(try await client.image(asked.subject.metadata.id.description), name: name)
            return 0
        }
    }
}

/// `covey image prune`.
struct ImagePruneCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Remove what no image and no machine needs.",
        discussion: """
            Layers and downloads of no image, and images that could not be made. With --all also images that were
            pulled and that no machine uses; those that were built, registered or promoted always stay.

            Example: covey image prune --all --dry-run
            """)

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Also images that were pulled and that no machine uses.")
    var all = false

    @Flag(help: "Say what would be removed, and remove nothing.")
    var dryRun = false

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let items = try await client.pruneImages(all: all, dryRun: dryRun)
            let columns: [Column<PrunedItem>] = [
                Column("KIND") { $0.kind.rawValue }, Column("NAME") { $0.name }, Column("FREED") { $0.freed.rounded },
            ]
            if !items.isEmpty || global.printed.format != .table { try global.printed.list(items, columns) { $0.name } }
            if !global.quiet {
                let total = ByteCount(items.reduce(0) { $0 + $1.freed.bytes })
                Standard.error("\(dryRun ? "would free" : "freed") \(total.rounded)\n")
            }
            return 0
        }
    }
}
