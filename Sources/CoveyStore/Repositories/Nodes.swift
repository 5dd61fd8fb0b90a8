package import CoveyModel

/// Nodes: what the hosts are and can do.
package struct Nodes: Sendable {
    /// Stores a node's facts, in place of those that were there; name and labels too.
    @discardableResult
    package func register(_ node: Node) async throws -> Node { throw CoveyError(.unsupported, "not written") }

    /// Changes a node's facts. `change` has to be idempotent and may be called several times.
    @discardableResult
    package func updateStatus(
        _ id: NodeID, change: @Sendable (inout NodeStatus) throws -> Void
    ) async throws -> Node { throw CoveyError(.unsupported, "not written") }

    /// A node by id. Errors: ``ErrorCode/notFound``, ``ErrorCode/corrupt``.
    package func get(_ id: NodeID) async throws -> Node { throw CoveyError(.unsupported, "not written") }

    /// All nodes.
    package func list() async throws -> Listing<Node> { throw CoveyError(.unsupported, "not written") }
}
