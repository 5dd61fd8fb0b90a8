/// What every resource has.
package struct Metadata<Subject>: Hashable, Codable, Sendable {
    /// The id, made once.
    package var id: Identifier<Subject>
    /// The name, unique within tenant and kind.
    package var name: String
    /// The tenant's name.
    package var tenant: String
    /// Free labels for selection.
    package var labels: [String: String]
    /// When it was made.
    package var createdAt: Timestamp
    /// Raised with each change of the spec.
    package var generation: Int64
    /// The spec's revision in the store; not stored with the record.
    package var revision: Int64

    /// Makes metadata of a new resource.
    package init(
        id: Identifier<Subject>, name: String, tenant: String, labels: [String: String] = [:], createdAt: Timestamp,
        generation: Int64 = 1, revision: Int64 = 0
    ) {
        self.id = id
        self.name = name
        self.tenant = tenant
        self.labels = labels
        self.createdAt = createdAt
        self.generation = generation
        self.revision = revision
    }
}

/// Something seen of a resource, as in Kubernetes' conditions.
package struct Condition: Hashable, Codable, Sendable {
    /// Whether it holds.
    package enum State: String, Codable, Sendable { case yes = "true", no = "false", unknown }

    /// What is said: `Ready`, `GuestReachable`, `Limited`.
    package var type: String
    /// Whether it holds.
    package var state: State
    /// One word in CamelCase for programs.
    package var reason: String
    /// A sentence for people.
    package var message: String
    /// Since when it is so.
    package var since: Timestamp

    /// Makes a condition.
    package init(type: String, state: State, reason: String, message: String, since: Timestamp) {
        self.type = type
        self.state = state
        self.reason = reason
        self.message = message
        self.since = since
    }
}

extension [Condition] {
    /// Puts a condition in place of the one of its type; `since` stays where the state did not change.
    package mutating func set(_ condition: Condition) {
        guard let index = firstIndex(where: { $0.type == condition.type }) else { return append(condition) }
        var new = condition
        if self[index].state == new.state { new.since = self[index].since }
        self[index] = new
    }

    /// Takes a condition away.
    package mutating func clear(_ type: String) { removeAll { $0.type == type } }
}
