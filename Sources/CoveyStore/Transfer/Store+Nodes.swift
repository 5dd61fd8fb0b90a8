package import CoveyModel

extension Store {
    /// The nodes beside one that keep their state in the store, by name where that can be read. One without a record is none.
    package func nodes(besides node: NodeID?) async throws -> [String] {
        let own = node.map(KeySpace.node)
        return try await list(KeySpace.nodes).entries.filter { $0.key != own }.map { entry in
            do { return try NodeRecord.format.decode(entry.value).name } catch { return KeySpace.last(entry.key) }
        }
    }
}
