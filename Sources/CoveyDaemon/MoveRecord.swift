internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials

/// A move of a root's state that was begun and is not over. `move.json` in the root's folder for state.
struct MoveRecord: Hashable, Codable, Sendable {
    /// The store it comes from, with its files; nil is SQLite.
    var from: String?
    /// The store it goes to, with its files; nil is SQLite.
    var to: String?
    /// The lineage that the state gets.
    var incarnation: String

    private static func path(_ folder: String) -> String { "\(folder)/move.json" }

    /// The move that is not over; nil where there is none.
    static func load(_ folder: String) throws -> MoveRecord? {
        let path = path(folder)
        guard fileExists(path) else { return nil }
        do {
            return try JSONDecoder().decode(MoveRecord.self, from: Data(try readFile(path, limit: 65536)))
        } catch {
            throw CoveyError(
                .corrupt, "\(path) cannot be read: \(error)",
                remedy: "remove it: store.json beside it says where the state is kept")
        }
    }

    /// Stores it.
    func save(_ folder: String) throws {
        try writeFileAtomically(MoveRecord.path(folder), Array(try JSONEncoder().encode(self)))
    }

    /// It is over.
    static func remove(_ folder: String) throws {
        try removeFile(path(folder))
        try syncFolder(folder)
    }
}
