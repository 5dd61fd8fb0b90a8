internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials

/// What a daemon root is, made at its first start: the node's id and the instance's.
struct Identity: Codable, Sendable {
    /// The node.
    var node: NodeID
    /// Stands in the names of all host objects.
    var instance: InstanceID

    /// Reads the identity of a root, or makes one. Errors: ``ErrorCode/corrupt`` for a file that cannot be read:
    /// with another identity the root would not know its own machines.
    static func load(_ folder: String, ids: IdentifierSource) throws -> Identity {
        if let identity = try find(folder) { return identity }
        let identity = Identity(node: ids.next(), instance: InstanceID(random: .random(in: .min ... .max)))
        try identity.save(folder)
        return identity
    }

    /// Reads the identity of a root; nil where it has none yet. Errors: as ``load(_:ids:)``.
    static func find(_ folder: String) throws -> Identity? {
        let path = path(folder)
        guard fileExists(path) else { return nil }
        do {
            return try JSONDecoder().decode(Identity.self, from: Data(try readFile(path, limit: 65536)))
        } catch {
            throw CoveyError(
                .corrupt, "\(path) cannot be read: \(error)",
                remedy: "restore it from a backup; without it the daemon would not know its own machines")
        }
    }

    /// Makes it a root's.
    func save(_ folder: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try writeFileAtomically(Identity.path(folder), Array(try encoder.encode(self)))
    }

    private static func path(_ folder: String) -> String { "\(folder)/identity.json" }
}
