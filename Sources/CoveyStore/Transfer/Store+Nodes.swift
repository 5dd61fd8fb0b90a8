package import CoveyModel

extension Store {
    /// The names of the nodes beside one that keep their state in the store; an id where a record cannot be read.
    ///
    /// - Parameter present: Only those whose daemons have given a sign of late.
    package func nodes(besides node: NodeID?, present: Bool) async throws -> [String] {
        if present {
            let own = node.map(KeySpace.presence)
            return try await list(KeySpace.presences).entries.filter { $0.key != own }.map(\.text)
        }
        let own = node.map(KeySpace.node)
        return try await list(KeySpace.nodes).entries.filter { $0.key != own }.map { entry in
            do { return try NodeRecord.format.decode(entry.value).name } catch { return KeySpace.last(entry.key) }
        }
    }
}
