internal import Glibc

/// What stat(2) says of a file.
package struct FileFacts: Hashable, Sendable {
    /// What it is.
    package enum Kind: Hashable, Sendable { case file, folder, link, other }

    /// What it is.
    package var kind: Kind
    /// Its size in bytes.
    package var size: Int64
    /// The permission bits.
    package var mode: UInt32
    /// Bytes that it takes on disk.
    package var allocated: Int64
    /// The owner's uid.
    package var user: UInt32
    /// The owning group.
    package var group: UInt32

    /// Facts of a path, of a link itself. Errors: what lstat(2) answers.
    package init(_ path: String) throws(SystemError) {
        var information = stat()
        try check("lstat", path) { lstat(path, &information) }
        self.init(information)
    }

    /// Facts of an open file.
    package init(descriptor: Int32) throws(SystemError) {
        var information = stat()
        try check("fstat", "descriptor \(descriptor)") { fstat(descriptor, &information) }
        self.init(information)
    }

    private init(_ information: stat) {
        switch information.st_mode & S_IFMT {
        case S_IFREG: kind = .file
        case S_IFDIR: kind = .folder
        case S_IFLNK: kind = .link
        default: kind = .other
        }
        size = Int64(information.st_size)
        mode = UInt32(information.st_mode & 0o7777)
        allocated = Int64(information.st_blocks) * 512
        user = information.st_uid
        group = information.st_gid
    }
}
