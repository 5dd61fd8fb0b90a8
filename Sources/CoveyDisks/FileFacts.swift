internal import CoveySystem
internal import Glibc

/// What lstat(2) or stat(2) says of a file.
struct FileFacts: Equatable, Sendable {
    /// What lies at a path.
    enum Kind: Sendable { case file, folder, link, other }

    /// What it is.
    let kind: Kind
    /// Its length in bytes.
    let size: Int64
    /// How many names it has.
    let links: Int
    /// Bytes that it takes on disk.
    let allocated: Int64
    /// Which file it is and when it changed last; another file or content has another one.
    let identity: [Int]

    /// Looks at a path. Errors: what lstat(2) answers.
    init(_ path: String, followLinks: Bool = false) throws(SystemError) {
        var information = stat()
        try check(followLinks ? "stat" : "lstat", path) {
            followLinks ? stat(path, &information) : lstat(path, &information)
        }
        self.init(information)
    }

    /// Looks at an open file.
    init(descriptor: Int32, _ subject: String) throws(SystemError) {
        var information = stat()
        try check("fstat", subject) { fstat(descriptor, &information) }
        self.init(information)
    }

    private init(_ information: stat) {
        kind =
            switch information.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .folder
            case S_IFLNK: .link
            case _: .other
            }
        size = Int64(information.st_size)
        links = Int(information.st_nlink)
        allocated = Int64(information.st_blocks) * 512
        identity = [
            Int(bitPattern: UInt(information.st_dev)), Int(bitPattern: UInt(information.st_ino)),
            information.st_mtim.tv_sec, information.st_mtim.tv_nsec, information.st_ctim.tv_sec,
            information.st_ctim.tv_nsec,
        ]
    }
}
