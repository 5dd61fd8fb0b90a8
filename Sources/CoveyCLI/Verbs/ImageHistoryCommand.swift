internal import ArgumentParser
internal import CoveyClient
internal import CoveyModel

/// `covey image history`.
struct ImageHistoryCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "Show the steps that an image of layers was made by, the last first.",
        discussion: "Example: covey image history alpine")

    /// A step with its layer.
    private struct Step: Encodable, Sendable {
        var created: String?
        var size: ByteCount
        var layer: String?
        var createdBy: String
        var comment: String?
    }

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The image.")
    var image: String

    func perform() async throws -> Int32 {
        try await global.connect { client in
            let image = try await client.image(image)
            guard let origin = image.status.origin else {
                throw CoveyError(
                    .unsupported, "image \(image.metadata.name) was built here and has no layers",
                    remedy: "see covey image inspect \(image.metadata.name)")
            }
            let columns: [Column<Step>] = [
                Column("LAYER") { $0.layer.map { String($0.prefix(19)) } ?? "-" },
                Column("CREATED") { $0.created.map { String($0.prefix(19)) + "Z" } ?? "-" },
                Column("SIZE") { $0.layer == nil ? "-" : $0.size.rounded },
                Column("CREATED BY") { String($0.createdBy.prefix(80)) },
            ]
            try global.printed.list(steps(origin), columns) { $0.layer ?? "-" }
            return 0
        }
    }

    private func steps(_ origin: ImageOrigin) -> [Step] {
        var layers = origin.layers[...]
        var steps = origin.history.map { step in
            let layer = step.isEmpty ? nil : layers.popFirst()
            return Step(
                created: step.created, size: layer?.size ?? ByteCount(0), layer: layer?.digest,
                createdBy: step.createdBy ?? "", comment: step.comment)
        }
        // Images without a history, or with one that is too short, have layers all the same.
        steps += layers.map { Step(size: $0.size, layer: $0.digest, createdBy: "") }
        return steps.reversed()
    }
}
