package import CoveyModel
package import SwiftProtobuf

extension Google_Protobuf_Timestamp {
    /// An instant; the wire is finer than the model.
    package init(_ instant: Timestamp) {
        let seconds = instant.milliseconds.flooredSeconds
        self.init(seconds: seconds, nanos: Int32(instant.milliseconds - seconds * 1000) * 1_000_000)
    }
}

extension Timestamp {
    /// Reads an instant; what is finer than a millisecond is dropped.
    package init(_ message: Google_Protobuf_Timestamp) throws(CoveyError) {
        guard (-62_135_596_800...253_402_300_799).contains(message.seconds), (0..<1_000_000_000).contains(message.nanos)
        else { throw CoveyError(.invalid, "a time is out of range") }
        self.init(milliseconds: message.seconds * 1000 + Int64(message.nanos) / 1_000_000)
    }
}

extension Google_Protobuf_Duration {
    /// A duration in whole milliseconds.
    package init(milliseconds: Int64) {
        self.init(seconds: milliseconds / 1000, nanos: Int32(milliseconds % 1000) * 1_000_000)
    }

    /// Whole milliseconds. Errors: ``ErrorCode/invalid`` where it is negative or longer than a year.
    package func milliseconds(_ field: String) throws(CoveyError) -> Int64 {
        guard (0...31_622_400).contains(seconds), (0..<1_000_000_000).contains(nanos) else {
            throw CoveyError(.invalid, "\(field) is out of range", remedy: "use 0s to 366d")
        }
        return seconds * 1000 + Int64(nanos) / 1_000_000
    }
}

extension Int64 {
    fileprivate var flooredSeconds: Int64 { self >= 0 ? self / 1000 : -((-self + 999) / 1000) }
}

extension Covey_V1_ResourceReference {
    /// The message of a reference.
    package init(_ model: ResourceReference) {
        self.init()
        kind = model.kind
        name = model.name
    }
}

extension ResourceReference {
    /// The value of a message.
    package init(_ message: Covey_V1_ResourceReference) { self.init(message.kind, message.name) }
}

extension Covey_V1_Error {
    /// The message of an error.
    package init(_ model: CoveyError) {
        self.init()
        code = model.code.wire
        message = model.message
        if let remedy = model.remedy { self.remedy = remedy }
        if let resource = model.resource { self.resource = Covey_V1_ResourceReference(resource) }
        retryable = model.retryable
        causes = model.causes
    }
}

extension CoveyError {
    /// The value of a message.
    package init(_ message: Covey_V1_Error) throws(CoveyError) {
        self.init(
            try ErrorCode(wire: message.code, "error.code"), message.message,
            remedy: message.hasRemedy ? message.remedy : nil,
            resource: message.hasResource ? ResourceReference(message.resource) : nil, retryable: message.retryable)
        causes = message.causes
    }
}

extension Covey_V1_Condition {
    /// The message of a condition.
    package init(_ model: Condition) {
        self.init()
        type = model.type
        state = model.state.wire
        reason = model.reason
        message = model.message
        since = Google_Protobuf_Timestamp(model.since)
    }
}

extension Condition {
    /// The value of a message.
    package init(_ message: Covey_V1_Condition) throws(CoveyError) {
        self.init(
            type: message.type, state: try State(wire: message.state, "condition.state"), reason: message.reason,
            message: message.message, since: try Timestamp(message.since))
    }
}

extension Covey_V1_Metadata {
    /// The message of metadata.
    package init<Subject>(_ model: Metadata<Subject>) {
        self.init()
        id = model.id.description
        name = model.name
        tenant = model.tenant
        labels = model.labels
        createdAt = Google_Protobuf_Timestamp(model.createdAt)
        generation = model.generation
        revision = model.revision
    }
}

extension Metadata {
    /// The value of a message.
    package init(_ message: Covey_V1_Metadata) throws(CoveyError) {
        self.init(
            id: try Identifier(wire: message.id, "metadata.id"), name: message.name, tenant: message.tenant,
            labels: message.labels, createdAt: try Timestamp(message.createdAt), generation: message.generation,
            revision: message.revision)
    }
}

extension Identifier {
    /// Reads an id. Errors: ``ErrorCode/invalid`` for a text that is no UUID.
    package init(wire text: String, _ field: String) throws(CoveyError) {
        guard let value = Identifier(text) else { throw CoveyError(.invalid, "\(field) \"\(text)\" is no UUID") }
        self = value
    }
}

extension Int {
    /// Reads a number. Errors: ``ErrorCode/invalid`` where it does not fit.
    package init(wire number: Int64, _ field: String) throws(CoveyError) {
        guard let value = Int(exactly: number) else { throw CoveyError(.invalid, "\(field) is out of range") }
        self = value
    }
}
