package import CoveyModel
package import CoveyStore
internal import CoveySystem
internal import Synchronization

/// What all services stand on.
package struct ServiceContext: Sendable {
    /// What is wanted and what was seen.
    package let repositories: Repositories
    /// The hosts.
    package let gateway: any NodeGateway
    /// What the configuration says.
    package let settings: ServerSettings
    /// Makes ids.
    package let ids: IdentifierSource
    /// What is known of the store this moment, which it cannot keep itself.
    package let storeConditions: @Sendable () -> [Condition]
    /// The node as it was read last, for when the store does not answer.
    let lastNode = LastNode()

    /// Puts the parts together.
    package init(
        repositories: Repositories, gateway: any NodeGateway, settings: ServerSettings, ids: IdentifierSource,
        storeConditions: @escaping @Sendable () -> [Condition]
    ) {
        self.repositories = repositories
        self.gateway = gateway
        self.settings = settings
        self.ids = ids
        self.storeConditions = storeConditions
    }

    /// What a machine may be.
    var validation: MachineValidation {
        MachineValidation(defaults: settings.defaults, limits: settings.limits)
    }

    /// The caller's request id, or a new one where it gave none.
    func requestID(_ given: String) -> String {
        given.isEmpty ? ids.next(Operation.self).description : given
    }

    /// A call to a node that answers at once or not at all.
    func bounded<T: Sendable>(
        _ what: String, _ body: @escaping @Sendable (any NodeGateway) async throws -> T
    ) async throws -> T {
        let gateway = gateway
        return try await withDeadline(settings.nodeTimeout, what) { try await body(gateway) }
    }
}

/// One page of things in the order of their keys.
struct Page<Item: Sendable>: Sendable {
    private static var largest: Int { 500 }

    let items: [Item]
    /// Where the next page begins; empty after the last.
    let next: String

    /// - Parameters:
    ///   - token: The key behind which the page begins; empty for the first.
    ///   - size: At most so many; 0 for as many as fit.
    init(_ all: [Item], size: Int32, token: String, key: (Item) -> String) throws(CoveyError) {
        guard size >= 0 else { throw CoveyError(.invalid, "page_size is negative") }
        let count = size == 0 ? Page.largest : min(Int(size), Page.largest)
        let rest = all.map { (key: key($0), item: $0) }.filter { token.isEmpty || $0.key > token }.sorted {
            $0.key < $1.key
        }
        items = rest.prefix(count).map(\.item)
        next = rest.count > count ? rest[count - 1].key : ""
    }
}

/// A node as it was read last.
final class LastNode: Sendable {
    private let state = Mutex<Node?>(nil)

    /// The node; nil before the first.
    var node: Node? { state.withLock { $0 } }

    /// Keeps a node.
    func set(_ node: Node) { state.withLock { $0 = node } }
}
