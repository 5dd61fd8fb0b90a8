/// One entry of an archive, but for its data. Names are bytes: a file system knows no encoding.
package struct TarEntry: Hashable, Sendable {
    /// What it is.
    package enum Kind: Hashable, Sendable {
        case file, folder, pipe
        /// Another name of an entry before; ``TarEntry/link`` is that one's.
        case hardLink
        /// A symbolic link to ``TarEntry/link``.
        case link
        case characters(major: UInt32, minor: UInt32)
        case blocks(major: UInt32, minor: UInt32)
    }

    /// A part of a file that is no hole.
    package struct Piece: Hashable, Sendable {
        /// Its first byte's place in the file.
        package var offset: Int64
        /// Its bytes.
        package var length: Int64

        /// Makes a piece.
        package init(offset: Int64, length: Int64) {
            self.offset = offset
            self.length = length
        }
    }

    /// An extended attribute.
    package struct Attribute: Hashable, Sendable {
        /// Its whole name (`user.x`).
        package var name: [UInt8]
        /// Its value.
        package var value: [UInt8]

        /// Makes an attribute.
        package init(name: [UInt8], value: [UInt8]) {
            self.name = name
            self.value = value
        }
    }

    /// Its path; a folder's may end in `/`.
    package var name: [UInt8]
    /// What it is.
    package var kind: Kind
    /// Permission bits with set-uid, set-gid and sticky.
    package var mode: UInt32
    /// The owner.
    package var user: UInt32
    /// The group.
    package var group: UInt32
    /// When its content changed: seconds since 1970.
    package var seconds: Int64
    /// And nanoseconds.
    package var nanoseconds: Int64
    /// A file's length, holes included.
    package var size: Int64
    /// What a link points to.
    package var link: [UInt8]
    /// Extended attributes.
    package var attributes: [Attribute]
    /// Where data lies in a file with holes; nil where all of it is data.
    package var pieces: [Piece]?

    /// Makes an entry.
    package init(
        name: [UInt8], kind: Kind, mode: UInt32 = 0o644, user: UInt32 = 0, group: UInt32 = 0, seconds: Int64 = 0,
        nanoseconds: Int64 = 0, size: Int64 = 0, link: [UInt8] = [], attributes: [Attribute] = [],
        pieces: [Piece]? = nil
    ) {
        self.name = name
        self.kind = kind
        self.mode = mode
        self.user = user
        self.group = group
        self.seconds = seconds
        self.nanoseconds = nanoseconds
        self.size = size
        self.link = link
        self.attributes = attributes
        self.pieces = pieces
    }

    /// The parts of the name, without empty ones and `.`; nil where one is `..`, which nobody who means well writes.
    package var components: [[UInt8]]? { TarEntry.components(of: name) }

    static func components(of path: [UInt8]) -> [[UInt8]]? {
        let parts = path.split(separator: UInt8(ascii: "/")).map { Array($0) }.filter { $0 != [UInt8(ascii: ".")] }
        return parts.contains([UInt8(ascii: "."), UInt8(ascii: ".")]) ? nil : parts
    }
}

/// A path's bytes for people: what is no UTF-8 and control characters are replaced.
package func displayed(_ path: [UInt8]) -> String {
    String(
        String(decoding: path.prefix(4096), as: UTF8.self).unicodeScalars.map {
            $0.properties.generalCategory == .control ? "\u{FFFD}" : Character($0)
        })
}
