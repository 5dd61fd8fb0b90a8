package import CoveyModel
package import SwiftProtobuf

/// An enumeration of the model with its counterpart on the wire: one switch per pair, read both ways.
package protocol WireEnumeration: Sendable, Equatable {
    /// The generated enumeration; its zero is "unspecified".
    associatedtype Wire: SwiftProtobuf.Enum

    /// Every case of the model.
    static var every: [Self] { get }

    /// The counterpart.
    var wire: Wire { get }
}

extension WireEnumeration where Self: CaseIterable, AllCases == [Self] {
    package static var every: [Self] { allCases }
}

extension WireEnumeration {
    /// Reads a value. Errors: ``ErrorCode/invalid`` for one that is unspecified or not known.
    package init(wire: Wire, _ field: String) throws(CoveyError) {
        guard let value = try Self.optional(wire, field) else {
            throw CoveyError(.invalid, "\(field) is not given")
        }
        self = value
    }

    /// Reads a value; unspecified is nil. Errors: ``ErrorCode/invalid`` for one that is not known.
    package static func optional(_ wire: Wire, _ field: String) throws(CoveyError) -> Self? {
        if wire.rawValue == 0 { return nil }
        guard let value = every.first(where: { $0.wire == wire }) else {
            throw CoveyError(
                .invalid, "\(field) has the unknown value \(wire.rawValue)",
                remedy: "use a client and a daemon of the same version")
        }
        return value
    }
}

extension Optional where Wrapped: WireEnumeration {
    /// The counterpart; nil is "unspecified".
    package var wire: Wrapped.Wire { self?.wire ?? Wrapped.Wire() }
}
