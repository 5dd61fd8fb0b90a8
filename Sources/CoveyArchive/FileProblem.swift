internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// What a system call's failure on a path means to who copies.
func problem(_ doing: String, _ path: [UInt8], errno number: Int32? = nil) -> CoveyError {
    let number = number ?? errno
    let name = displayed(path)
    switch number {
    case ENOENT, ENOTDIR: return CoveyError(.notFound, "there is no file or folder \(name)")
    case EACCES, EPERM: return CoveyError(.denied, "\(doing) \(name) is not permitted")
    case ENOSPC:
        return CoveyError(
            .exhausted, "no space left on \(mountPoint(of: path))", remedy: "free space there, or copy elsewhere")
    case EDQUOT:
        return CoveyError(
            .exhausted, "no quota left on \(mountPoint(of: path))", remedy: "free space there, or copy elsewhere")
    case EROFS: return CoveyError(.conflict, "\(mountPoint(of: path)) is read-only")
    case EISDIR: return CoveyError(.conflict, "\(name) is a folder")
    case ELOOP: return CoveyError(.conflict, "\(name) is a symbolic link, and nothing is written through it")
    case ENAMETOOLONG: return CoveyError(.invalid, "the name \(displayed(Array(path.suffix(80)))) is too long")
    case EMFILE, ENFILE: return CoveyError(.exhausted, "\(doing) \(name) needs more open files than are allowed")
    default: return CoveyError(.failure, "\(doing) \(name): \(String(cString: strerror(number)))")
    }
}

/// The highest folder of a path that lies on the same file system.
private func mountPoint(of path: [UInt8]) -> String {
    func device(_ path: String) -> dev_t? {
        var facts = stat()
        return stat(path, &facts) == 0 ? facts.st_dev : nil
    }
    var text = String(decoding: path, as: UTF8.self)
    while device(text) == nil, text != "/", text != "." { text = parentFolder(text) }
    guard let real = realpath(text, nil) else { return displayed(path) }
    text = String(cString: real)
    free(real)
    guard let own = device(text) else { return displayed(path) }
    while text != "/", device(parentFolder(text)) == own { text = parentFolder(text) }
    return displayed(Array(text.utf8))
}

/// Calls `body` with a path as C writes it.
func withPath<R>(_ path: [UInt8], _ body: (UnsafePointer<CChar>) throws -> R) rethrows -> R {
    try (path + [0]).withUnsafeBufferPointer { bytes in
        try bytes.withMemoryRebound(to: CChar.self) { characters in
            guard let base = characters.baseAddress else { preconditionFailure("a path has its end") }
            return try body(base)
        }
    }
}

/// The names in an open folder, without `.` and `..`, sorted.
func names(in folder: Int32, _ path: [UInt8]) throws -> [[UInt8]] {
    let copy = fcntl(folder, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0, let stream = fdopendir(copy) else {
        let failure = errno
        if copy >= 0 { close(copy) }
        throw problem("reading", path, errno: failure)
    }
    defer { closedir(stream) }
    rewinddir(stream)
    var names: [[UInt8]] = []
    while true {
        errno = 0
        guard let entry = readdir(stream) else {
            guard errno == 0 else { throw problem("reading", path) }
            break
        }
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
        if name != [46] && name != [46, 46] { names.append(name) }
    }
    return names.sorted { $0.lexicographicallyPrecedes($1) }
}
