internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey volume`.
struct VolumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "volume", abstract: "Disks that outlive machines.", discussion: "Example: covey volume ls",
        subcommands: [
            VolumeListCommand.self, VolumeCreateCommand.self, VolumeAttachCommand.self, VolumeDetachCommand.self,
            VolumeResizeCommand.self, VolumeSnapshotCommand.self, VolumeInspectCommand.self,
            VolumeRemoveCommand.self,
        ])
}

/// `covey volume ls`.
struct VolumeListCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List volumes.", discussion: "Example: covey volume ls", aliases: ["list"])

    @OptionGroup var global: GlobalOptions

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let columns: [Column<Volume>] = [
                Column("NAME") { $0.metadata.name },
                Column("STATE") { $0.spec.deleting ? "deleting" : $0.status.state.rawValue },
                Column("SIZE") { $0.spec.size.rounded },
                Column("FORMAT") { $0.spec.format.rawValue },
                Column("ATTACHED") { volume in
                    let users = volume.spec.attachments.map { "\($0.name):\($0.path)\($0.readOnly ? ":ro" : "")" }
                    return users.isEmpty ? "-" : users.joined(separator: ",")
                },
            ]
            try global.printed.list(try await client.listVolumes(), columns) { $0.metadata.name }
            return 0
        }
    }
}

/// `covey volume create`.
struct VolumeCreateCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a volume.",
        discussion: """
            It holds an empty ext4 that machines mount, or with --raw nothing.

            Example: covey volume create data --size 10G
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "Its size, such as 10G; what is not written takes no space.")
    var size: ByteCount

    @Flag(help: "Without a file system.")
    var raw = false

    @Option(name: [.long, .customShort("l")], help: "A label, as KEY=VALUE.")
    var label: [KeyValue] = []

    @Argument(help: "Its name.")
    var name: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let asked = try await client.createVolume(
                name, size: size, format: raw ? .raw : .ext4, labels: label.map)
            try await client.finishShowing(asked.operation, quiet: global.quiet)
            try global.printed.mutated(try await client.volume(name), name: name)
            return 0
        }
    }
}

/// `covey volume inspect`.
struct VolumeInspectCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Print all that is known of a volume.",
        discussion: "Example: covey volume inspect data")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The volume.")
    var volume: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let volume = try await client.volume(volume)
            try global.printed.object(volume, name: volume.metadata.name)
            return 0
        }
    }
}

/// `covey volume rm`.
struct VolumeRemoveCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Delete volumes with their content.", discussion: "Example: covey volume rm data",
        aliases: ["delete"])

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The volumes.")
    var volumes: [String]

    func perform() async throws -> Int32 {
        try await global.connect { client in
            try await forEach(volumes) { name in
                let asked = try await client.deleteVolume(name)
                try await client.finishShowing(asked.operation, quiet: global.quiet)
                try global.printed.mutated(asked.subject, name: name)
            }
        }
    }
}

/// `covey volume resize`.
struct VolumeResizeCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "resize", abstract: "Make a volume larger.",
        discussion: """
            A machine sees the new size at its next start, and its file system grows with it.

            Example: covey volume resize data --size 20G
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "Its new size.")
    var size: ByteCount

    @Argument(help: "The volume.")
    var volume: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let asked = try await client.resizeVolume(volume, to: size)
            try await client.finishShowing(asked.operation, quiet: global.quiet)
            try global.printed.mutated(try await client.volume(volume), name: asked.subject.metadata.name)
            return 0
        }
    }
}

/// `covey volume snapshot`.
struct VolumeSnapshotCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "snapshot", abstract: "Copy a volume that no running machine writes to.",
        discussion: """
            Where the daemon's file system can share blocks, the copy takes no time and no space.

            Example: covey volume snapshot data data-monday
            """)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The volume.")
    var volume: String

    @Argument(help: "The name of the copy.")
    var snapshot: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let asked = try await client.snapshotVolume(volume, as: snapshot)
            try await client.finishShowing(asked.operation, quiet: global.quiet)
            try global.printed.mutated(try await client.volume(snapshot), name: snapshot)
            return 0
        }
    }
}
