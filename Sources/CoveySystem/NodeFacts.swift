internal import Glibc

/// All that lstat(2) says of what an archive keeps of a file.
package struct NodeFacts: Hashable, Sendable {
    /// What lies at a path.
    package enum Kind: Hashable, Sendable {
        case file, folder, link, pipe, socket
        case characters(major: Int64, minor: Int64)
        case blocks(major: Int64, minor: Int64)
    }

    /// What it is.
    package var kind: Kind
    /// The permission bits with set-uid, set-gid and sticky.
    package var mode: Int64
    /// The owner's number.
    package var user: Int64
    /// The group's number.
    package var group: Int64
    /// The length in bytes.
    package var size: Int64
    /// When its content changed last, in seconds since 1970.
    package var changed: Int64
    /// How many names it has.
    package var names: Int
    /// The file system that it lies on.
    package var device: UInt64
    /// Which file of its file system it is.
    package var inode: UInt64

    /// Looks at a path, at a link itself. Errors: what lstat(2) answers.
    package init(_ path: String) throws(SystemError) {
        var information = stat()
        try check("lstat", path) { lstat(path, &information) }
        let number = UInt64(information.st_rdev)
        // gnu_dev_major(3).
        let major = Int64((number >> 8) & 0xFFF | (number >> 32) & 0xFFFF_F000)
        let minor = Int64(number & 0xFF | (number >> 12) & 0xFFFF_FF00)
        kind =
            switch information.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .folder
            case S_IFLNK: .link
            case S_IFCHR: .characters(major: major, minor: minor)
            case S_IFBLK: .blocks(major: major, minor: minor)
            case S_IFIFO: .pipe
            case _: .socket
            }
        mode = Int64(information.st_mode & 0o7777)
        user = Int64(information.st_uid)
        group = Int64(information.st_gid)
        size = Int64(information.st_size)
        changed = Int64(information.st_mtim.tv_sec)
        names = Int(information.st_nlink)
        device = UInt64(information.st_dev)
        inode = UInt64(information.st_ino)
    }
}

/// Where a link points to.
package func linkTarget(_ path: String) throws(SystemError) -> String {
    var target = [CChar](repeating: 0, count: 4097)
    let length = try check("readlink", path) { readlink(path, &target, 4096) }
    return String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
