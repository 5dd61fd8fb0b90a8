internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// `covey image export`.
struct ImageExportCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Write an image of layers to a file, as an OCI archive.",
        discussion: """
            The archive holds the very blobs that the image came with; skopeo and podman read it.

            Example: covey image export alpine alpine.tar
            """)

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The image.")
    var image: String

    @Argument(help: "The file; - is standard output.")
    var file: String

    func perform() async throws -> Int32 {
        if file == "-" {
            guard !Standard.isTerminal(STDOUT_FILENO) else {
                throw ValidationError("an archive is not for a terminal: name a file, or send it on")
            }
            try await global.connect { client in
                try await client.exportImage(image) { try await ImageExportCommand.write($0, to: STDOUT_FILENO) }
            }
            return 0
        }
        // Under another name until it is whole.
        let partial = "\(file).partial"
        let target = try openFile(partial, [.writeOnly, .create, .truncate], mode: 0o644)
        let raw = target.raw
        do {
            try await global.connect { client in
                try await client.exportImage(image) { try await ImageExportCommand.write($0, to: raw) }
            }
            try check("fsync", partial) { fsync(raw) }
            try check("rename", file) { rename(partial, file) }
        } catch {
            try removeFile(partial)
            throw error
        }
        try global.printed.object(["file": file], name: file)
        return 0
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) async throws {
        try await BlockingPool("covey-file").run { () throws in try writeAll(descriptor, bytes) }
    }
}
