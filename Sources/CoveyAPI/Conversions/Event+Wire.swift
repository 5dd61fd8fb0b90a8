package import CoveyModel
internal import SwiftProtobuf

extension Covey_V1_Event {
    /// The message of an event.
    package init(_ model: Event) {
        self.init()
        metadata = Covey_V1_Metadata(model.metadata)
        target = Covey_V1_ResourceReference(model.target)
        targetID = model.targetID
        reason = model.reason.wire
        message = model.message
        count = model.count
        firstSeen = Google_Protobuf_Timestamp(model.firstSeen)
        lastSeen = Google_Protobuf_Timestamp(model.lastSeen)
    }
}

extension Event {
    /// The value of a message.
    package init(_ message: Covey_V1_Event) throws(CoveyError) {
        self.init(
            metadata: try Metadata(message.metadata), target: ResourceReference(message.target),
            targetID: message.targetID, reason: try EventReason(wire: message.reason, "reason"),
            message: message.message, count: message.count, firstSeen: try Timestamp(message.firstSeen),
            lastSeen: try Timestamp(message.lastSeen))
    }
}

extension Covey_V1_EventFilter {
    /// The message of a filter.
    package init(_ model: EventFilter) {
        self.init()
        vm = model.machine ?? ""
        if let since = model.since { self.since = Google_Protobuf_Timestamp(since) }
        reasons = model.reasons.map(\.wire)
    }
}

extension EventFilter {
    /// The value of a message.
    package init(_ message: Covey_V1_EventFilter) throws(CoveyError) {
        self.init(
            machine: message.vm.isEmpty ? nil : message.vm,
            since: message.hasSince ? try Timestamp(message.since) : nil,
            reasons: try message.reasons.converted { reason throws(CoveyError) in
                try EventReason(wire: reason, "filter.reasons")
            })
    }
}

extension EventReason: WireEnumeration {
    package var wire: Covey_V1_EventReason {
        switch self {
        case .created: .created
        case .scheduled: .scheduled
        case .started: .started
        case .ready: .ready
        case .stopped: .stopped
        case .crashed: .crashed
        case .restarting: .restarting
        case .startFailed: .startFailed
        case .deleted: .deleted
        case .imageReady: .imageReady
        case .imageFailed: .imageFailed
        case .volumeAttached: .volumeAttached
        case .volumeDetached: .volumeDetached
        case .conditionChanged: .conditionChanged
        case .operationFailed: .operationFailed
        case .egressDenied: .egressDenied
        }
    }
}
