internal import Glibc

/// Writes a file so that it is there wholly or not at all, also after a power cut:
/// temporary file, fsync, rename, fsync of the folder.
package func writeFileAtomically(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o600) throws(SystemError) {
    let folder = parentFolder(path)
    let temporary = "\(path).\(getpid()).\(UInt32.random(in: .min ... .max)).new"
    do throws(SystemError) {
        let file = try openFile(temporary, [.writeOnly, .create, .exclusive], mode: mode)
        try check("fchmod", temporary) { fchmod(file.raw, mode) }
        try writeAll(file.raw, bytes)
        try check("fsync", temporary) { fsync(file.raw) }
        try file.close()
        try check("rename", path) { rename(temporary, path) }
    } catch {
        _ = unlink(temporary)
        throw error
    }
    try syncFolder(folder)
}

/// Makes a folder's entries durable.
package func syncFolder(_ path: String) throws(SystemError) {
    let folder = try openFile(path, [.readOnly, .directory])
    try check("fsync", path) { fsync(folder.raw) }
}

/// A file's bytes. Errors: `EFBIG` where it is longer than `limit`.
package func readFile(_ path: String, limit: Int = 64 << 20) throws(SystemError) -> [UInt8] {
    let file = try openFile(path, .readOnly)
    var bytes: [UInt8] = []
    while let part = try readSome(file.raw), !part.isEmpty {
        bytes += part
        if bytes.count > limit { throw SystemError("read", path, errno: EFBIG) }
    }
    return bytes
}

/// A small text file's content, for `/proc` and `/sys`.
package func readText(_ path: String) throws(SystemError) -> String {
    String(decoding: try readFile(path, limit: 1 << 20), as: UTF8.self)
}

/// Makes a folder and its parents; one that exists is left as it is.
package func makeFolder(_ path: String, mode: UInt32 = 0o700) throws(SystemError) {
    if mkdir(path, mode) == 0 || errno == EEXIST { return }
    guard errno == ENOENT, parentFolder(path) != path else { throw SystemError("mkdir", path) }
    try makeFolder(parentFolder(path), mode: mode)
    if mkdir(path, mode) != 0 && errno != EEXIST { throw SystemError("mkdir", path) }
}

/// Removes a file; one that is not there is no error.
package func removeFile(_ path: String) throws(SystemError) {
    if unlink(path) != 0 && errno != ENOENT { throw SystemError("unlink", path) }
}

/// Removes a folder with all in it, without following links; one that is not there is no error.
package func removeTree(_ path: String) throws(SystemError) {
    var information = stat()
    if lstat(path, &information) != 0 {
        if errno == ENOENT { return }
        throw SystemError("lstat", path)
    }
    guard information.st_mode & S_IFMT == S_IFDIR else { return try removeFile(path) }
    for name in try listFolder(path) { try removeTree("\(path)/\(name)") }
    if rmdir(path) != 0 && errno != ENOENT { throw SystemError("rmdir", path) }
}

/// The names in a folder, sorted, without `.` and `..`.
package func listFolder(_ path: String) throws(SystemError) -> [String] {
    guard let stream = opendir(path) else { throw SystemError("opendir", path) }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
}

/// Sets when a path was last read and changed, without following a link.
package func setFileTimes(_ path: String, secondsSince1970 seconds: Int) throws(SystemError) {
    let times = [timespec(tv_sec: seconds, tv_nsec: 0), timespec(tv_sec: seconds, tv_nsec: 0)]
    try check("utimensat", path) { utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) }
}

/// Whether something is at the path, a dangling link too.
package func fileExists(_ path: String) -> Bool {
    var information = stat()
    return lstat(path, &information) == 0
}

/// The folder that holds a path: `/a/b` of `/a/b/c`, `.` of a bare name.
package func parentFolder(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// Renames a file or folder to `PATH.aside-N` with the first N that is free, so that nobody takes it for current.
/// Returns the new path; nil where nothing was there.
@discardableResult
package func moveAside(_ path: String) throws(SystemError) -> String? {
    for number in 1...999 {
        let aside = "\(path).aside-\(number)"
        if fileExists(aside) { continue }
        if rename(path, aside) == 0 { return aside }
        if errno == ENOENT { return nil }
        throw SystemError("rename", path)
    }
    throw SystemError("rename", path, errno: EEXIST)
}
