internal import CoveyModel
internal import FoundationEssentials

/// An image's configuration. Source: OCI image specification, config.md.
struct ConfigurationDocument: Codable, Hashable, Sendable {
    struct Programs: Codable, Hashable, Sendable {
        var entrypoint: [String]?
        var command: [String]?
        var environment: [String]?
        var user: String?
        var folder: String?

        enum CodingKeys: String, CodingKey {
            case entrypoint = "Entrypoint"
            case command = "Cmd"
            case environment = "Env"
            case user = "User"
            case folder = "WorkingDir"
        }
    }

    struct Root: Codable, Hashable, Sendable {
        var type: String
        var layers: [String]

        enum CodingKeys: String, CodingKey {
            case type
            case layers = "diff_ids"
        }
    }

    struct Step: Codable, Hashable, Sendable {
        var created: String?
        var createdBy: String?
        var comment: String?
        var isEmpty: Bool?

        enum CodingKeys: String, CodingKey {
            case created
            case createdBy = "created_by"
            case comment
            case isEmpty = "empty_layer"
        }
    }

    var created: String?
    var architecture: String
    var os: String
    var config: Programs?
    var rootfs: Root
    var history: [Step]?

    private static let longestText = 32 << 10
    private static let mostSteps = 2000

    /// Reads a configuration for a platform and so many layers.
    ///
    /// Errors: ``ErrorCode/corrupt``, ``ErrorCode/unsupported`` for another platform.
    static func read(_ bytes: [UInt8], platform: Platform, layers: Int) throws(CoveyError) -> ConfigurationDocument {
        let document: ConfigurationDocument
        do { document = try JSONDecoder().decode(ConfigurationDocument.self, from: Data(bytes)) } catch {
            throw corrupt("cannot be read: \(Manifest.summary(error))")
        }
        guard document.os == platform.os, document.architecture == platform.architecture else {
            throw CoveyError(
                .unsupported, "the image is for \(document.os)/\(document.architecture), and this node is \(platform)",
                remedy: "use an image for \(platform)")
        }
        guard document.rootfs.type == "layers", document.rootfs.layers.count == layers else {
            throw corrupt("names \(document.rootfs.layers.count) layers, and its manifest \(layers)")
        }
        return document
    }

    /// What it says of programs. Errors: ``ErrorCode/corrupt`` for texts that no program can be given.
    func programs() throws(CoveyError) -> ImageConfiguration {
        let own = config ?? Programs()
        let texts =
            (own.entrypoint ?? []) + (own.command ?? []) + (own.environment ?? []) + [own.user ?? "", own.folder ?? ""]
        let total = texts.reduce(0) { $0 + $1.utf8.count + 1 }
        guard total <= 512 << 10, !texts.contains(where: { $0.utf8.contains(0) }) else {
            throw ConfigurationDocument.corrupt("has texts that no program can be given")
        }
        var environment: [String: String] = [:]
        for line in own.environment ?? [] {
            guard let sign = line.firstIndex(of: "="), sign != line.startIndex else { continue }
            environment[String(line[..<sign])] = String(line[line.index(after: sign)...])
        }
        if environment["PATH"] == nil {
            environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        }
        func text(_ text: String?) -> String? { text.flatMap { $0.isEmpty ? nil : $0 } }
        return ImageConfiguration(
            entrypoint: own.entrypoint ?? [], command: own.command ?? [], environment: environment,
            workingDirectory: text(own.folder), user: text(own.user))
    }

    /// How it was made, for people: long texts are cut.
    var steps: [ImageStep] {
        (history ?? []).prefix(ConfigurationDocument.mostSteps).map { step in
            ImageStep(
                created: step.created.map { String($0.prefix(64)) },
                createdBy: step.createdBy.map { String($0.prefix(1000)) },
                comment: step.comment.map { String($0.prefix(200)) }, isEmpty: step.isEmpty ?? false)
        }
    }

    private static func corrupt(_ why: String) -> CoveyError {
        CoveyError(.corrupt, "the image's configuration \(why)", remedy: "tell the one who published it")
    }
}
