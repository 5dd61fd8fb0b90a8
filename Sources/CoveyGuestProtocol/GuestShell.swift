package import CoveyModel

/// An ssh server of the tools disk, for one connection, which comes on standard input and goes on standard output.
package struct GuestShell: Hashable, Sendable {
    /// Who may log in.
    package var access: ShellAccess
    /// The machine's private host key, as a file of OpenSSH. A secret.
    package var hostKey: String

    /// Makes one.
    package init(access: ShellAccess, hostKey: String) {
        self.access = access
        self.hostKey = hostKey
    }
}

extension GuestShell {
    /// What the execs are called that are such servers: nobody lists or records them.
    package static let idPrefix = "ssh-"

    func encode(_ out: inout FieldWriter) {
        out.put(1, access.user)
        out.put(2, hostKey)
        for key in access.keys { out.put(3, key) }
    }

    init(_ fields: FieldReader) throws(FrameFault) {
        self.init(
            access: ShellAccess(user: try fields.required(1), keys: fields.texts(3)), hostKey: try fields.required(2))
    }
}

extension GuestShell: CustomStringConvertible {
    package var description: String { "ssh as \(access.user)" }
}
