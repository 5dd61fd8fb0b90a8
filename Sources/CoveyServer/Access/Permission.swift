package import CoveyModel

/// What a method needs its caller to be allowed.
package struct Permission: Hashable, Sendable, CustomStringConvertible {
    /// What it is done to.
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        case vm, image, kernel, volume, network, operation, node, event
    }

    /// What is done.
    package enum Verb: String, Hashable, Sendable, CaseIterable { case read, create, change, delete, use }

    /// What it is done to.
    package var kind: Kind
    /// What is done.
    package var verb: Verb

    /// Makes a permission.
    package init(_ kind: Kind, _ verb: Verb) {
        self.kind = kind
        self.verb = verb
    }

    /// `vm:read`.
    package var description: String { "\(kind.rawValue):\(verb.rawValue)" }
}

/// What is known of a method before it is called.
package enum MethodRule: Hashable, Sendable {
    /// For everybody who reaches the socket: health and reflection.
    case open
    /// Within a tenant.
    case tenant(Permission)
    /// For the host as a whole.
    case host(Permission)
}

/// Decides whether a caller may.
package protocol Authorizer: Sendable {
    /// Throws ``ErrorCode/denied`` where the caller may not. `tenant` is nil for permissions of the host.
    func authorize(_ caller: Caller, _ permission: Permission, tenant: Tenant?) async throws
}

/// Whoever can open the socket may do everything: its owner and group decide.
package struct SocketAuthorizer: Authorizer {
    /// Makes one.
    package init() {}

    package func authorize(_ caller: Caller, _ permission: Permission, tenant: Tenant?) async throws {}
}
