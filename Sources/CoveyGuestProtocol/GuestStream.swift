package import CoveyModel

/// A stream between the host and something in the guest that ends with its channel.
///
/// It has a program's outputs and input. Where it is one of files, standard output or input carry an archive and standard
/// error the report of `CopyProgram`; where it is a connection, standard output carries what the other side sends, and a
/// byte on standard error says that this has ended while the other direction goes on.
package struct GuestStreamRequest: Hashable, Sendable {
    /// Bytes of each direction that may be under way.
    package static let window: UInt32 = 1 << 20

    /// What is at its other end.
    package enum Purpose: Hashable, Sendable {
        /// The agent's own copying program with these arguments, as this user (nil is root).
        case copy(arguments: [String], user: String?)
        /// What listens in the guest.
        case dial(GuestEndpoint)
    }

    /// What is at its other end.
    package var purpose: Purpose

    /// Makes a request.
    package init(_ purpose: Purpose) { self.purpose = purpose }
}

extension GuestStreamRequest {
    func encode(_ out: inout FieldWriter) {
        switch purpose {
        case .copy(let arguments, let user):
            out.put(1, UInt64(1))
            for argument in arguments { out.put(2, argument) }
            out.put(3, user)
        case .dial(.port(let port)):
            out.put(1, UInt64(2))
            out.put(4, UInt64(port))
        case .dial(.socket(let path)):
            out.put(1, UInt64(2))
            out.put(5, path)
        }
    }

    init(_ fields: FieldReader) throws(FrameFault) {
        switch try fields.number(1) {
        case 1: purpose = .copy(arguments: fields.texts(2), user: fields.text(3))
        case 2:
            if let path = fields.text(5) {
                purpose = .dial(.socket(path))
            } else {
                purpose = .dial(.port(try fields.number(4, as: UInt16.self) ?? 0))
            }
        case let kind: throw FrameFault("a stream of the unknown purpose \(kind ?? 0)")
        }
    }
}
