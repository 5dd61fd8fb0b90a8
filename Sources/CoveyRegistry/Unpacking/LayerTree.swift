internal import CCovey
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// The tree that layers are unpacked into. Nothing outside its folder is ever reached: paths are resolved by the
/// kernel as if the folder were the root (openat2(2)), and names are then used relative to the folder that was found.
/// Belongs to one thread.
final class LayerTree {
    private let root: OpenFolder
    private let rootPath: String
    private let limits: UnpackLimits
    private var current: (path: ArraySlice<[UInt8]>, folder: OpenFolder)?
    /// Whether something was removed since, so that the path may lead elsewhere.
    private var isStale = false
    /// What this layer has put there: whiteouts hide what lower layers have.
    private var touched: Set<UInt64> = []

    private static let folderMode: mode_t = 0o755

    /// Opens a tree's folder.
    init(_ path: String, limits: UnpackLimits) throws {
        root = try OpenFolder(openFile(path, [.readOnly, .directory, .noFollow]))
        rootPath = path
        self.limits = limits
        // As long as no layer says something else.
        try check("fchmod", path) { fchmod(root.descriptor.raw, LayerTree.folderMode) }
        root.setTimes(timespec())
    }

    /// Begins a layer.
    func beginLayer() { touched = [] }

    /// Ends a layer: folders get their times back.
    func endLayer() throws {
        try leave()
        try root.restoreTimes()
    }

    // MARK: entries

    /// The folder that an entry goes into; missing ones are made.
    func parent(of path: EntryPath) throws -> OpenFolder {
        let parents = path.parts.dropLast()
        if let current, !isStale, current.path == parents { return current.folder }
        try leave()
        guard !parents.isEmpty else { return root }
        let folder = try open(parents) ?? make(parents)
        current = (parents, folder)
        return folder
    }

    /// The folder that a whiteout speaks of; nil where there is none, and so nothing to hide: some tools hide what was
    /// in a folder that the same layer replaces by a file.
    func parentOfHidden(_ path: EntryPath) throws -> OpenFolder? {
        try leave()
        let parents = path.parts.dropLast()
        if parents.isEmpty { return root }
        do { current = try open(parents).map { (parents, $0) } } catch let error as CoveyError
            where error.code == .corrupt
        {
            return nil
        }
        return current?.folder
    }

    /// The tree's root, for its own entry.
    func rootFolder() throws -> OpenFolder {
        try leave()
        return root
    }

    /// Makes way for an entry. Returns whether a folder is there that stays, for a folder.
    func makeWay(in folder: OpenFolder, _ name: [CChar], forFolder: Bool) throws -> Bool {
        guard let facts = try folder.look(name) else { return false }
        if facts.st_mode & S_IFMT == S_IFDIR {
            if forFolder { return true }
        }
        isStale = true
        try folder.remove(name)
        return false
    }

    /// Remembers that this layer has put something there.
    func touch(_ folder: OpenFolder, _ name: [CChar]) { touched.insert(key(folder, name)) }

    /// Makes a hard link to what the tree has under a path. Errors: ``ErrorCode/corrupt`` where nothing is there.
    func link(_ target: EntryPath, in folder: OpenFolder, _ name: [CChar], path: EntryPath) throws {
        let missing = CoveyError(
            .corrupt, "a layer links \(path.text) to \(target.text), which is no file of the image",
            remedy: "do not use this image, or ask the one who published it")
        guard let targetName = target.name?.cString else { throw missing }
        let parents = target.parts.dropLast()
        let from: OpenFolder
        if parents.isEmpty {
            from = root
        } else {
            guard let opened = try open(parents) else { throw missing }
            from = opened
        }
        guard let facts = try from.look(targetName), facts.st_mode & S_IFMT != S_IFDIR else { throw missing }
        if let there = try folder.look(name) {
            // The target itself: there is nothing to do, and removing it first would lose it.
            if there.st_ino == facts.st_ino { return }
            _ = try makeWay(in: folder, name, forFolder: false)
        }
        try check("linkat", path.text) { linkat(from.descriptor.raw, targetName, folder.descriptor.raw, name, 0) }
        if from !== folder { try from.restoreTimes() }
    }

    /// Hides what lower layers have.
    func hide(_ whiteout: Whiteout, in folder: OpenFolder) throws {
        isStale = true
        switch whiteout {
        case .name(let name): _ = try hideLower(folder, name.cString, depth: 0)
        case .opaque: for name in try folder.names() { _ = try hideLower(folder, name, depth: 0) }
        }
    }

    /// Removes what this layer has not put there. Returns whether nothing is left under the name.
    private func hideLower(_ folder: OpenFolder, _ name: [CChar], depth: Int) throws -> Bool {
        guard let facts = try folder.look(name) else { return true }
        let mine = touched.contains(key(folder, name))
        let raw = folder.descriptor.raw
        guard facts.st_mode & S_IFMT == S_IFDIR else {
            if mine { return false }
            try check("unlinkat", shown(name)) { unlinkat(raw, name, 0) }
            return true
        }
        guard depth < 1000 else { throw SystemError("unlinkat", shown(name), errno: ELOOP) }
        let inner = try folder.folder(name)
        var isEmpty = true
        for child in try inner.names() where try !hideLower(inner, child, depth: depth + 1) { isEmpty = false }
        if mine || !isEmpty {
            try inner.restoreTimes()
            return false
        }
        try check("unlinkat", shown(name)) { unlinkat(raw, name, AT_REMOVEDIR) }
        return true
    }

    // MARK: folders

    private func leave() throws {
        try current?.folder.restoreTimes()
        current = nil
        isStale = false
    }

    /// Opens a folder by its path; links are followed inside the tree. Nil where it is not there.
    private func open(_ parts: ArraySlice<[UInt8]>) throws -> OpenFolder? {
        let path = Array(parts.joined(separator: [47])).cString
        let opened = covey_open_in_root(root.descriptor.raw, path, O_RDONLY | O_DIRECTORY)
        guard opened >= 0 else {
            let error = SystemError("openat2", shown(path))
            if error.isErrno(ENOENT) { return nil }
            guard error.isErrno(ENOTDIR) || error.isErrno(ELOOP) || error.isErrno(EXDEV) else { throw error }
            throw refusal(path, "is no folder")
        }
        let folder = try OpenFolder(FileDescriptor(owning: opened))
        guard try isWithinDepth(folder) else { throw refusal(path, "leads deeper than \(limits.depth) folders") }
        return folder
    }

    /// Whether a folder lies where it can still be named by a path. Through links it can lie deeper than its path says,
    /// and deeper with each layer, until nobody could remove it any more.
    private func isWithinDepth(_ folder: OpenFolder) throws -> Bool {
        var real = [CChar](repeating: 0, count: 4096)
        let length = try check("readlink", "a folder of the image") {
            readlink("/proc/self/fd/\(folder.descriptor.raw)", &real, real.count - 1)
        }
        let inside = real.prefix(length).dropFirst(rootPath.utf8.count)
        return length < real.count - 300 && inside.count(where: { $0 == 47 }) <= limits.depth
    }

    /// Makes the missing folders of a path, which no layer has described.
    private func make(_ parts: ArraySlice<[UInt8]>) throws -> OpenFolder {
        var above = root
        for end in parts.indices {
            let path = parts[...end]
            if let there = try open(path) {
                above = there
                continue
            }
            let name = parts[end].cString
            let raw = above.descriptor.raw
            guard mkdirat(raw, name, LayerTree.folderMode) == 0 else {
                let error = SystemError("mkdirat", shown(name))
                guard error.isErrno(EEXIST) else { throw error }
                // A link that leads nowhere.
                throw refusal(Array(path.joined(separator: [47])).cString, "is no folder")
            }
            try check("fchmodat", shown(name)) { fchmodat(raw, name, LayerTree.folderMode, 0) }
            if above !== root { try above.restoreTimes() }
            touch(above, name)
            let made = try above.folder(name)
            guard try isWithinDepth(made) else {
                try check("unlinkat", shown(name)) { unlinkat(raw, name, AT_REMOVEDIR) }
                throw refusal(
                    Array(path.joined(separator: [47])).cString, "leads deeper than \(limits.depth) folders")
            }
            made.setTimes(timespec())
            try made.restoreTimes()
            above = made
        }
        return above
    }

    private func key(_ folder: OpenFolder, _ name: [CChar]) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(folder.number)
        name.withUnsafeBytes { hasher.combine(bytes: $0) }
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    private func refusal(_ path: [CChar], _ why: String) -> CoveyError {
        CoveyError(
            .corrupt, "a layer puts something below \(shown(path)), which \(why)",
            remedy: "do not use this image, or ask the one who published it")
    }
}
