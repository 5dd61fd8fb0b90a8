import FoundationEssentials

/// What `covey vm inspect -o json` says, as far as the tests look at it.
struct MachineView: Decodable, Sendable {
    struct Metadata: Decodable, Sendable {
        var id: String
        var name: String
    }
    struct Status: Decodable, Sendable {
        struct Stage: Decodable, Sendable {
            var stage: String
            var milliseconds: Int
        }
        struct Condition: Decodable, Sendable {
            var type: String
            var state: String
        }
        struct Failure: Decodable, Sendable {
            var code: String
            var message: String
            var remedy: String?
        }
        var phase: String
        var pid: Int32?
        var runGeneration: Int
        var restarts: Int
        var exitCode: Int32?
        var lastEnd: String?
        var lastError: Failure?
        var timeline: [Stage]
        var conditions: [Condition]
        var addresses: [String]?
        var node: String?
    }
    var metadata: Metadata
    var status: Status

    var id: String { metadata.id }
    var isReady: Bool {
        status.phase == "running" && status.conditions.contains { $0.type == "Ready" && $0.state == "true" }
    }

    init(_ outcome: Outcome) throws {
        self = try JSONDecoder().decode(MachineView.self, from: Data(outcome.bytes))
    }
}

/// `{"items": […]}`.
struct ItemList<Item: Decodable>: Decodable {
    var items: [Item]
}
