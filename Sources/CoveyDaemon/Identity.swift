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
        let path = "\(folder)/identity.json"
        if fileExists(path) {
            do {
                return try JSONDecoder().decode(Identity.self, from: Data(try readFile(path, limit: 65536)))
            } catch {
                throw CoveyError(
                    .corrupt, "\(path) cannot be read: \(error)",
                    remedy: "restore it from a backup; without it the daemon would not know its own machines")
            }
        }
        let identity = Identity(node: ids.next(), instance: InstanceID(random: .random(in: .min ... .max)))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try writeFileAtomically(path, Array(try encoder.encode(identity)))
        return identity
    }
}
