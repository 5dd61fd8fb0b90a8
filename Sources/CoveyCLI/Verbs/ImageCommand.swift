internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey image`.
struct ImageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image", abstract: "Images.", discussion: "Example: covey image ls",
        subcommands: [
            ImageListCommand.self, ImagePullCommand.self, ImageBuildCommand.self, ImageInspectCommand.self,
            ImageHistoryCommand.self, ImageExportCommand.self, ImageImportCommand.self,
            ImageRemoveCommand.self, ImageRegisterCommand.self, ImagePromoteCommand.self,
            ImageCatalogCommand.self, ImageTagCommand.self, ImagePruneCommand.self,
        ])
}

/// `covey image ls`.
struct ImageListCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List images.", discussion: "Example: covey image ls -o json",
        aliases: ["list"])

    @OptionGroup var global: GlobalOptions

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let columns: [Column<Image>] = [
                Column("NAME") { $0.metadata.name },
                Column("STATE") { $0.status.state.rawValue },
                Column("SIZE") { $0.status.size?.rounded ?? "-" },
                Column("DIGEST") { $0.status.digest.map { String($0.prefix(19)) } ?? "-" },
                Column("CREATED") { String($0.metadata.createdAt.description.prefix(19)) + "Z" },
            ]
            try global.printed.list(try await client.listImages(), columns) { $0.metadata.name }
            return 0
        }
    }
}

/// `covey image build`.
struct ImageBuildCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "build", abstract: "Build an image from a Debian suite.",
        discussion: """
            Root logs in with the keys of --ssh-key, where openssh-server is among the packages.

            Example: covey image build debian:bookworm --name base --package openssh-server --ssh-key ~/.ssh/id.pub
            """)

    @OptionGroup var global: GlobalOptions

    @Option(help: "Its name; the source where it is left out.")
    var name: String?

    @Option(name: .customLong("package"), help: "A further package. Repeatable.")
    var packages: [String] = []

    @Option(help: "The mirror; the host's own where it is left out.")
    var mirror: String?

    @Option(name: .customLong("ssh-key"), help: "A file of public keys that root logs in with. Repeatable.")
    var keys: [String] = []

    @Flag(name: .shortAndLong, help: "Do not wait.")
    var detach = false

    @Argument(help: "debian, debian:SUITE or busybox.")
    var source: String

    func perform() async throws -> Int32 {
        let parsed = try parse(source)
        return try await global.connect { client in
            let asked = try await client.buildImage(parsed, name: name)
            if !detach { try await client.finishShowing(asked.operation, quiet: global.quiet) }
            let now = detach ? asked.subject : try await client.image(asked.subject.metadata.id.description)
            try global.printed.mutated(now, name: now.metadata.name)
            return 0
        }
    }

    private func parse(_ source: String) throws -> ImageSpec.Source {
        let options = DebianOptions(
            packages: packages, mirror: mirror, sshKeys: try keys.flatMap { try PublicKeys.read($0) })
        try options.check()
        if source == "busybox" {
            guard options == DebianOptions() else {
                throw ValidationError("busybox is built in: it takes no --package, --mirror or --ssh-key")
            }
            return .builtIn
        }
        let given = options == DebianOptions() ? nil : options
        if source == "debian" { return .debian(suite: "", options: given) }
        let suite = source.dropFirst("debian:".count)
        guard source.hasPrefix("debian:"), !suite.isEmpty else {
            throw CoveyError(
                .invalid, "images cannot be built from \"\(source)\"", remedy: "use debian or debian:SUITE")
        }
        return .debian(suite: String(suite), options: given)
    }
}

/// `covey image inspect`.
struct ImageInspectCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Print all that is known of an image.",
        discussion: "Example: covey image inspect debian")

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The image.")
    var image: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let image = try await client.image(image)
            try global.printed.object(image, name: image.metadata.name)
            return 0
        }
    }
}

/// `covey image rm`.
struct ImageRemoveCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Delete images.", discussion: "Example: covey image rm debian",
        aliases: ["delete"])

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The images.")
    var images: [String]

    func perform() async throws -> Int32 {
        try await global.connect { client in
            try await forEach(images) { name in
                let asked = try await client.deleteImage(name)
                try await client.finishShowing(asked.operation, quiet: global.quiet)
                try global.printed.mutated(asked.subject, name: name)
            }
        }
    }
}
