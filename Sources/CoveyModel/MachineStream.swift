/// What a connection into a machine leads to.
package enum GuestEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// A TCP port of the guest's loopback.
    case port(UInt16)
    /// A Unix socket, by its absolute path in the guest.
    case socket(String)

    /// `8080` or `/run/x.sock`.
    package var description: String {
        switch self {
        case .port(let port): "\(port)"
        case .socket(let path): path
        }
    }
}

/// How files are copied out of a machine.
package struct PackWish: Hashable, Sendable {
    /// The file or folder in the machine; `/.` at its end means a folder's content.
    package var path: String
    /// Who reads it, as NAME, UID, NAME:GROUP or UID:GID; nil is root.
    package var user: String?
    /// Whether a path that is a symbolic link is followed.
    package var followsLink: Bool
    /// Whether whole times and all attributes come along.
    package var isExact: Bool

    /// Makes a wish.
    package init(path: String, user: String? = nil, followsLink: Bool = false, isExact: Bool = false) {
        self.path = path
        self.user = user
        self.followsLink = followsLink
        self.isExact = isExact
    }
}

/// How files are copied into a machine.
package struct UnpackWish: Hashable, Sendable {
    /// The destination in the machine.
    package var path: String
    /// Who writes and owns it, as NAME, UID, NAME:GROUP or UID:GID; nil is root.
    package var user: String?
    /// Whether owners, whole times and all attributes are kept.
    package var isExact: Bool
    /// Whether the archive's entries go into a folder that exists, and its first names no source.
    package var isPlainArchive: Bool

    /// Makes a wish.
    package init(path: String, user: String? = nil, isExact: Bool = false, isPlainArchive: Bool = false) {
        self.path = path
        self.user = user
        self.isExact = isExact
        self.isPlainArchive = isPlainArchive
    }
}

/// What a stream into a machine is for.
package enum MachineStream: Hashable, Sendable {
    /// Files out of it, as a tar archive.
    case pack(PackWish)
    /// Files into it, from a tar archive.
    case unpack(UnpackWish)
    /// A connection.
    case dial(GuestEndpoint)
}

/// What comes from a machine through a stream.
package enum MachineStreamOutput: Hashable, Sendable {
    /// The next bytes.
    case bytes([UInt8])
    /// Something that was left out, for people.
    case note(String)
    /// A connection's other side sends no more; it may go on reading.
    case end
}
