/// What happened to something. Repetitions of the same are one event with a count, so that what flaps cannot fill the
/// store.
package struct Event: Hashable, Codable, Sendable {
    /// Id and tenant; the name is the id.
    package var metadata: Metadata<Event>
    /// What it happened to.
    package var target: ResourceReference
    /// The target's id, which stays when it is renamed or gone.
    package var targetID: String
    /// What happened.
    package var reason: EventReason
    /// A sentence for people, of the last time.
    package var message: String
    /// How often.
    package var count: Int64
    /// The first time.
    package var firstSeen: Timestamp
    /// The last time.
    package var lastSeen: Timestamp

    /// Puts the parts together.
    package init(
        metadata: Metadata<Event>, target: ResourceReference, targetID: String, reason: EventReason, message: String,
        count: Int64 = 1, firstSeen: Timestamp, lastSeen: Timestamp
    ) {
        self.metadata = metadata
        self.target = target
        self.targetID = targetID
        self.reason = reason
        self.message = message
        self.count = count
        self.firstSeen = firstSeen
        self.lastSeen = lastSeen
    }

    /// Whether somebody should look.
    package var isWarning: Bool { reason.isWarning }
}

/// The id of an event.
package typealias EventID = Identifier<Event>

/// All that events tell.
package enum EventReason: String, Codable, Sendable, CaseIterable {
    /// A machine was made.
    case created
    /// A machine was given to a node.
    case scheduled
    /// A machine's VMM runs.
    case started
    /// A machine is ready.
    case ready
    /// A run ended in order.
    case stopped
    /// A run ended by a crash of the guest or of the VMM.
    case crashed
    /// A machine is started again by its restart policy.
    case restarting
    /// A start came to nothing.
    case startFailed
    /// A machine was removed.
    case deleted
    /// An image is there.
    case imageReady
    /// An image could not be made or pulled.
    case imageFailed
    /// A machine was given a volume.
    case volumeAttached
    /// A volume was taken from a machine.
    case volumeDetached
    /// A condition of a node or machine has another state.
    case conditionChanged
    /// An operation failed.
    case operationFailed
    /// A machine's connection to the outside was not allowed.
    case egressDenied

    /// Whether somebody should look.
    package var isWarning: Bool {
        switch self {
        case .crashed, .restarting, .startFailed, .imageFailed, .operationFailed, .egressDenied: true
        case .created, .scheduled, .started, .ready, .stopped, .deleted, .imageReady, .volumeAttached,
            .volumeDetached, .conditionChanged:
            false
        }
    }
}

/// Something that happened, before it is an event.
package struct Happening: Hashable, Sendable {
    /// What happened.
    package var reason: EventReason
    /// A sentence for people.
    package var message: String
    /// Tells events of one reason apart that are not the same: a condition's type, a volume's name.
    package var detail: String

    /// Makes a happening.
    package init(_ reason: EventReason, _ message: String, detail: String = "") {
        self.reason = reason
        self.message = message
        self.detail = detail
    }
}

/// Which events are wanted.
package struct EventFilter: Hashable, Sendable {
    /// A machine's name or id; nil is everything.
    package var machine: String?
    /// Nothing whose last time is older; nil is all.
    package var since: Timestamp?
    /// These reasons; none is all.
    package var reasons: [EventReason]

    /// Makes a filter.
    package init(machine: String? = nil, since: Timestamp? = nil, reasons: [EventReason] = []) {
        self.machine = machine
        self.since = since
        self.reasons = reasons
    }

    /// Whether an event is wanted.
    package func takes(_ event: Event) -> Bool {
        if let machine {
            guard event.target.kind == "vm", event.target.name == machine || event.targetID == machine else {
                return false
            }
        }
        if let since, event.lastSeen < since { return false }
        return reasons.isEmpty || reasons.contains(event.reason)
    }
}
