/// What kind of failure it was. Each border maps it once: gRPC status, HTTP status, exit code.
package enum ErrorCode: String, Codable, Sendable, CaseIterable {
    /// The request can never work as it is.
    case invalid
    /// The named thing is not there.
    case notFound
    /// The thing exists already, or is in a state that forbids it.
    case conflict
    /// No daemon, no store, no access at the moment; trying again later can help.
    case unavailable
    /// The caller may not.
    case denied
    /// The caller is not known.
    case unauthenticated
    /// Disk, memory, address, quota or capacity is used up.
    case exhausted
    /// A wait has ended without its result.
    case deadline
    /// Somebody took the request back.
    case cancelled
    /// The write may or may not have happened; repeat it with the same request id.
    case outcomeUnknown
    /// This host, driver or program cannot do it.
    case unsupported
    /// Stored or received data is damaged.
    case corrupt
    /// The work was tried and failed.
    case failure
    /// A defect in Covey.
    case internalError
}

/// What an error is about.
package struct ResourceReference: Hashable, Codable, Sendable, CustomStringConvertible {
    /// The kind, as on the command line: `vm`, `image`, `kernel`, `operation`.
    package var kind: String
    /// Its name or id.
    package var name: String

    /// Names a resource of a kind.
    package init(_ kind: String, _ name: String) {
        self.kind = kind
        self.name = name
    }

    /// `vm web`.
    package var description: String { "\(kind) \(name)" }
}

/// The one error that crosses process borders.
///
/// `message` says what failed on what, in lower case and without a full stop; `remedy` what to do.
package struct CoveyError: Error, Hashable, Codable, Sendable, CustomStringConvertible {
    /// The kind of failure.
    package var code: ErrorCode
    /// What failed on what.
    package var message: String
    /// What the user can do; nil where nothing is known to help.
    package var remedy: String?
    /// What it is about.
    package var resource: ResourceReference?
    /// Whether the same request can succeed later.
    package var retryable: Bool
    /// The causes, nearest first, each with its own text.
    package var causes: [String]

    /// Makes an error. `retryable` is by default what the code says.
    package init(
        _ code: ErrorCode, _ message: String, remedy: String? = nil, resource: ResourceReference? = nil,
        retryable: Bool? = nil, cause: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.remedy = remedy
        self.resource = resource
        self.retryable = retryable ?? (code == .unavailable || code == .outcomeUnknown)
        switch cause {
        case nil: causes = []
        case let inner as CoveyError:
            causes = inner.code == code ? inner.causes : [inner.message] + inner.causes
            if inner.code == code { self.message += ": \(inner.message)" }
            if self.remedy == nil { self.remedy = inner.remedy }
        case let other?: causes = [String(describing: other)]
        }
    }

    /// The same failure, with what was being done before its text.
    package func with(context: String) -> CoveyError {
        var error = self
        error.message = "\(context): \(message)"
        return error
    }

    /// The same failure, about a resource.
    package func about(_ resource: ResourceReference) -> CoveyError {
        var error = self
        error.resource = resource
        return error
    }

    /// The message with its causes.
    package var description: String { ([message] + causes).joined(separator: ": ") }

    /// The named thing is not there.
    package static func notFound(_ kind: String, _ name: String, remedy: String? = nil) -> CoveyError {
        CoveyError(
            .notFound, "\(kind) \(name) does not exist", remedy: remedy, resource: ResourceReference(kind, name))
    }
}
