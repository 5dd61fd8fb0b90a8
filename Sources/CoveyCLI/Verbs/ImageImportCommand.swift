internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey image import`.
struct ImageImportCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Make an image of an archive of layers: an OCI layout, or docker save.",
        discussion: """
            The file is one tar, as skopeo (oci-archive, docker-archive), podman save and docker save write it.

            Example: covey image import app.tar app
            """)

    private static let endings = [".gz", ".zst", ".tgz", ".tar", ".oci"]

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Do not wait.")
    var detach = false

    @Argument(help: "The archive.", completion: .file())
    var file: String

    @Argument(help: "The image's name; the file's where it is left out.")
    var name: String?

    func perform() async throws -> Int32 {
        let name = name ?? stem
        try Names.checkImage(name)
        let sent = try SentRoot(file)
        return try await global.connect { client in
            let asked = try await client.registerImage(
                name, file: sent.name, choices: ImageChoices(), labels: [:], pieces: { try await sent.next() })
            if !detach { try await client.finishShowing(asked.operation, quiet: global.quiet) }
            let now = detach ? asked.subject : try await client.image(asked.subject.metadata.id.description)
            try global.printed.mutated(now, name: now.metadata.name)
            return 0
        }
    }

    /// The file's name without folders and endings.
    private var stem: String {
        var stem = file.split(separator: "/").last.map { String($0) } ?? file
        while let ending = ImageImportCommand.endings.first(where: { stem.hasSuffix($0) && stem.count > $0.count }) {
            stem.removeLast(ending.count)
        }
        return stem
    }
}
