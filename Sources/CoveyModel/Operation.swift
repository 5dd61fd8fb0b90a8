/// A durable request: stored in the transaction that changes what is wanted, carried out by the node.
package struct Operation: Hashable, Codable, Sendable {
    /// Id, tenant; the name is the id.
    package var metadata: Metadata<Operation>
    /// What was asked.
    package var spec: OperationSpec
    /// How far it is.
    package var status: OperationStatus

    /// Puts the parts together.
    package init(metadata: Metadata<Operation>, spec: OperationSpec, status: OperationStatus) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

/// What an operation does.
package enum OperationKind: String, Codable, Sendable, CaseIterable {
    case createMachine
    case startMachine
    case stopMachine
    case killMachine
    case restartMachine
    case deleteMachine
    case buildImage
    case deleteImage
    case importKernel
    case deleteKernel
    case createVolume
    case resizeVolume
    case deleteVolume
}

/// What was asked.
package struct OperationSpec: Hashable, Codable, Sendable {
    /// What it does.
    package var kind: OperationKind
    /// What it does it to.
    package var target: ResourceReference
    /// The target's id.
    package var targetID: String
    /// The spec's generation that carries the wish.
    package var generation: Int64
    /// The caller's request id.
    package var requestID: String
    /// The node that carries it out.
    package var node: NodeID?
    /// Whether somebody took it back.
    package var cancelRequested: Bool

    /// Makes a spec.
    package init(
        kind: OperationKind, target: ResourceReference, targetID: String, generation: Int64, requestID: String,
        node: NodeID?
    ) {
        self.kind = kind
        self.target = target
        self.targetID = targetID
        self.generation = generation
        self.requestID = requestID
        self.node = node
        cancelRequested = false
    }
}

/// Where an operation is in its life.
package enum OperationState: String, Codable, Sendable, CaseIterable {
    case pending, running, succeeded, failed, cancelled

    /// Whether it will not change any more.
    package var isFinal: Bool {
        switch self {
        case .pending, .running: false
        case .succeeded, .failed, .cancelled: true
        }
    }
}

/// A stage of an operation.
package struct OperationStage: Hashable, Codable, Sendable {
    /// Whether the stage waits, runs or is over.
    package enum State: String, Codable, Sendable { case pending, running, done, failed }

    /// `image`, `disk`, `vmm`.
    package var name: String
    /// Whether it waits, runs or is over.
    package var state: State
    /// How much is done, in ``unit``; streamed, not stored.
    package var done: Int64?
    /// How much there is, where known.
    package var total: Int64?
    /// `bytes`, `packages`, `files`.
    package var unit: String?

    /// Makes a stage.
    package init(name: String, state: State, done: Int64? = nil, total: Int64? = nil, unit: String? = nil) {
        self.name = name
        self.state = state
        self.done = done
        self.total = total
        self.unit = unit
    }
}

/// How far an operation is.
package struct OperationStatus: Hashable, Codable, Sendable {
    /// Where it is in its life.
    package var state: OperationState
    /// Its stages in order.
    package var stages: [OperationStage]
    /// Why it failed.
    package var error: CoveyError?
    /// When it ended.
    package var finishedAt: Timestamp?

    /// The status of an operation that was just asked for.
    package init(state: OperationState = .pending) {
        self.state = state
        stages = []
    }
}
