internal import CCovey
internal import CoveySystem
internal import Glibc

/// A folder of a tree that files are put into. Its times become again what they were when it ends.
final class OpenFolder {
    let descriptor: FileDescriptor
    /// Tells it from other folders of the tree.
    let number: UInt64
    private var times: [timespec]

    /// Takes a folder over.
    init(_ descriptor: consuming FileDescriptor) throws(SystemError) {
        var information = stat()
        let raw = descriptor.raw
        try check("fstat", "a folder of the image") { fstat(raw, &information) }
        number = UInt64(information.st_ino)
        times = [information.st_atim, information.st_mtim]
        self.descriptor = descriptor
    }

    /// What the times are to be at the end.
    func setTimes(_ time: timespec) { times = [time, time] }

    /// Sets the times.
    func restoreTimes() throws(SystemError) {
        let raw = descriptor.raw
        try check("futimens", "a folder of the image") { futimens(raw, times) }
    }

    /// What lies under a name, a link itself; nil for nothing.
    func look(_ name: [CChar]) throws(SystemError) -> stat? {
        var information = stat()
        if fstatat(descriptor.raw, name, &information, AT_SYMLINK_NOFOLLOW) == 0 { return information }
        if errno == ENOENT { return nil }
        throw SystemError("fstatat", shown(name))
    }

    /// A folder in it, never through a link.
    func folder(_ name: [CChar]) throws(SystemError) -> OpenFolder {
        let raw = descriptor.raw
        let opened = try check("openat", shown(name)) {
            openat(raw, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        }
        return try OpenFolder(FileDescriptor(owning: opened))
    }

    /// The names in it.
    func names() throws(SystemError) -> [[CChar]] {
        let raw = descriptor.raw
        let own = try check("openat", ".") { openat(raw, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard let stream = fdopendir(own) else {
            let error = SystemError("fdopendir")
            close(own)
            throw error
        }
        defer { closedir(stream) }
        var names: [[CChar]] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { Array($0.cString) }
            }
            if name != dot && name != dotDot { names.append(name) }
        }
        return names
    }

    /// Removes what lies under a name, a whole tree too, without following links.
    func remove(_ name: [CChar], depth: Int = 0) throws(SystemError) {
        guard let facts = try look(name) else { return }
        let raw = descriptor.raw
        guard facts.st_mode & S_IFMT == S_IFDIR else {
            try check("unlinkat", shown(name)) { unlinkat(raw, name, 0) }
            return
        }
        guard depth < 1000 else { throw SystemError("unlinkat", shown(name), errno: ELOOP) }
        let inner = try folder(name)
        for child in try inner.names() { try inner.remove(child, depth: depth + 1) }
        try check("unlinkat", shown(name)) { unlinkat(raw, name, AT_REMOVEDIR) }
    }
}

private let dot: [CChar] = [46, 0]
private let dotDot: [CChar] = [46, 46, 0]

/// A name for messages.
func shown(_ name: [CChar]) -> String {
    String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

extension [UInt8] {
    /// As a C string.
    var cString: [CChar] { map { CChar(bitPattern: $0) } + [0] }
}

extension UnsafePointer<CChar> {
    /// The characters up to the zero, with it.
    fileprivate var cString: UnsafeBufferPointer<CChar> { UnsafeBufferPointer(start: self, count: strlen(self) + 1) }
}
