package import CoveyModel
internal import SwiftProtobuf

extension Covey_V1_OperationStage {
    /// The message of a stage.
    package init(_ model: OperationStage) {
        self.init()
        name = model.name
        state = model.state.wire
        if let done = model.done { self.done = done }
        if let total = model.total { self.total = total }
        if let unit = model.unit { self.unit = unit }
    }
}

extension OperationStage {
    /// The value of a message.
    package init(_ message: Covey_V1_OperationStage) throws(CoveyError) {
        self.init(
            name: message.name, state: try State(wire: message.state, "stage.state"),
            done: message.hasDone ? message.done : nil, total: message.hasTotal ? message.total : nil,
            unit: message.hasUnit ? message.unit : nil)
    }
}

extension Covey_V1_Operation {
    /// The message of an operation.
    package init(_ model: Operation) {
        self.init()
        metadata = Covey_V1_Metadata(model.metadata)
        spec.kind = model.spec.kind.wire
        spec.target = Covey_V1_ResourceReference(model.spec.target)
        spec.targetID = model.spec.targetID
        spec.generation = model.spec.generation
        spec.requestID = model.spec.requestID
        if let node = model.spec.node { spec.node = node.description }
        spec.cancelRequested = model.spec.cancelRequested
        status.state = model.status.state.wire
        status.stages = model.status.stages.map { Covey_V1_OperationStage($0) }
        if let error = model.status.error { status.error = Covey_V1_Error(error) }
        if let instant = model.status.finishedAt { status.finishedAt = Google_Protobuf_Timestamp(instant) }
    }
}

extension Operation {
    /// The value of a message.
    package init(_ message: Covey_V1_Operation) throws(CoveyError) {
        var spec = OperationSpec(
            kind: try OperationKind(wire: message.spec.kind, "spec.kind"),
            target: ResourceReference(message.spec.target), targetID: message.spec.targetID,
            generation: message.spec.generation, requestID: message.spec.requestID,
            node: message.spec.hasNode ? try NodeID(wire: message.spec.node, "spec.node") : nil)
        spec.cancelRequested = message.spec.cancelRequested
        var status = OperationStatus(state: try OperationState(wire: message.status.state, "status.state"))
        status.stages = try message.status.stages.converted { stage throws(CoveyError) in try OperationStage(stage) }
        if message.status.hasError { status.error = try CoveyError(message.status.error) }
        if message.status.hasFinishedAt { status.finishedAt = try Timestamp(message.status.finishedAt) }
        self.init(metadata: try Metadata(message.metadata), spec: spec, status: status)
    }
}
