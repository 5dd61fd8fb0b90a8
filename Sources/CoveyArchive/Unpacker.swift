internal import CCovey
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Unpacks an archive that somebody else wrote, blocking.
///
/// Nothing is written outside the destination: folders are entered one by one without following links, `..` is refused,
/// and a link is a link. Each file is written without a name (or beside its place) and put there whole, so that a cut
/// leaves what was there before. Folders that exist keep their owner, mode and time.
package final class Unpacker {
    /// How an archive is unpacked.
    package struct Options: Hashable, Sendable {
        /// Whether owners, set-uid bits, whole times and all attributes are kept; else files belong to who runs this.
        package var isExact: Bool
        /// Whether links to folders that lie in the destination already are gone through: right where the destination
        /// is a machine of the archive's sender, wrong on a host.
        package var followsLinks: Bool
        /// Whether device files are made.
        package var makesDevices: Bool
        /// Whether the archive's entries go into a folder that exists, as tar does it, and not where a source with a
        /// name goes.
        package var isPlainArchive: Bool

        /// Makes options.
        package init(
            isExact: Bool = false, followsLinks: Bool = false, makesDevices: Bool = false, isPlainArchive: Bool = false
        ) {
            self.isExact = isExact
            self.followsLinks = followsLinks
            self.makesDevices = makesDevices
            self.isPlainArchive = isPlainArchive
        }
    }

    private struct Place {
        var walk: FolderWalk
        /// The name in the archive of what is copied; empty where its content is.
        var root: [[UInt8]]
        /// What takes its place.
        var target: [[UInt8]]
    }

    private let options: Options
    private let reader: TarReader
    private var folders: [([[UInt8]], TarEntry)] = []
    private var hasSaidAttributes = false

    /// Called with the bytes of the archive that were read.
    package var onProgress: (Int64) -> Void {
        get { reader.onProgress }
        set { reader.onProgress = newValue }
    }
    /// Called with what was left out and why.
    package var onNote: (String) -> Void = { _ in }
    /// Bytes of the archive so far.
    package var position: Int64 { reader.position }

    /// An unpacker of a descriptor that blocks; it stays the caller's.
    package init(_ options: Options, from input: Int32) {
        self.options = options
        reader = TarReader(input)
    }

    /// Unpacks everything. Errors: as ``TarReader/next()``; ``ErrorCode/exhausted`` for a full file system,
    /// ``ErrorCode/conflict`` where something else is in the way, ``ErrorCode/denied``.
    package func unpack(to destination: String) throws {
        var place: Place?
        while let entry = try reader.next() {
            guard let components = entry.components else {
                throw CoveyError(.invalid, "the archive's entry \(displayed(entry.name)) leads out of it")
            }
            let known = try place ?? begin(destination, entry, components)
            place = known
            let root = known.root
            guard components.starts(with: root) else {
                throw CoveyError(.invalid, "the archive's entry \(displayed(entry.name)) is none of what is copied")
            }
            let path = known.target + components.dropFirst(root.count)
            guard !path.isEmpty else {
                guard entry.kind == .folder else {
                    throw CoveyError(.invalid, "the archive's entry \(displayed(entry.name)) has no name")
                }
                continue
            }
            try put(entry, path, known)
        }
        if let place { try finish(place) }
        if place == nil && options.isPlainArchive { _ = try FolderWalk(destination, followsLinks: true) }
    }

    private func begin(_ destination: String, _ entry: TarEntry, _ components: [[UInt8]]) throws -> Place {
        if options.isPlainArchive {
            let walk = try FolderWalk(destination.isEmpty ? "/" : destination, followsLinks: options.followsLinks)
            return Place(walk: walk, root: [], target: [])
        }
        guard components.count <= 1 else {
            throw CoveyError(.invalid, "the archive does not begin with what is copied")
        }
        var facts = stat()
        var path = destination
        let state: CopyTarget.State
        if stat(CopySource(destination).path, &facts) == 0 {
            state = facts.st_mode & S_IFMT == S_IFDIR ? .folder : .file
        } else {
            guard errno == ENOENT else { throw problem("writing to", Array(destination.utf8)) }
            state = .nothing
        }
        // What a link points to is replaced, not the link.
        if state == .file && entry.kind == .file && !destination.hasSuffix("/"), let real = realpath(destination, nil) {
            path = String(cString: real)
            free(real)
        }
        let target = try CopyTarget(
            name: components.first ?? [], isFolder: entry.kind == .folder, isContent: components.isEmpty, to: path,
            state)
        let walk = try FolderWalk(target.folder, followsLinks: options.followsLinks)
        return Place(walk: walk, root: components, target: target.name.isEmpty ? [] : [target.name])
    }

    // MARK: entries

    private func put(_ entry: TarEntry, _ path: [[UInt8]], _ place: Place) throws {
        let walk = place.walk
        guard let name = path.last else { return }
        let parent = try walk.folder(path.dropLast())
        switch entry.kind {
        case .folder: try folder(entry, path, parent, name, walk)
        case .file: try file(entry, walk.path(path), parent, name)
        case .link:
            try inPlace(walk.path(path), parent, name) { name in
                withPath(entry.link) { target in withPath(name) { symlinkat(target, parent, $0) } }
            }
            walk.note(linkIn: parent, name)
            try dress(entry, walk.path(path), parent, name)
        case .hardLink: try hardLink(entry, path, place)
        case .pipe:
            try inPlace(walk.path(path), parent, name) { name in withPath(name) { mkfifoat(parent, $0, 0o600) } }
            try dress(entry, walk.path(path), parent, name)
        case .characters(let major, let minor):
            try device(entry, walk.path(path), parent, name, S_IFCHR, major, minor)
        case .blocks(let major, let minor): try device(entry, walk.path(path), parent, name, S_IFBLK, major, minor)
        }
    }

    private func device(
        _ entry: TarEntry, _ path: [UInt8], _ parent: Int32, _ name: [UInt8], _ kind: mode_t, _ major: UInt32,
        _ minor: UInt32
    ) throws {
        guard options.makesDevices else { return onNote("\(displayed(path)) is a device and was left out") }
        try inPlace(path, parent, name) { name in
            withPath(name) { covey_make_device(parent, $0, kind | 0o600, major, minor) }
        }
        try dress(entry, path, parent, name)
    }

    private func folder(
        _ entry: TarEntry, _ path: [[UInt8]], _ parent: Int32, _ name: [UInt8], _ walk: FolderWalk
    ) throws {
        if withPath(name, { mkdirat(parent, $0, 0o700) }) == 0 {
            folders.append((path, entry))
            return
        }
        guard errno == EEXIST else { throw problem("making", walk.path(path)) }
        _ = try walk.folder(path[...])
    }

    private func hardLink(_ entry: TarEntry, _ path: [[UInt8]], _ place: Place) throws {
        guard let components = TarEntry.components(of: entry.link), components.starts(with: place.root),
            let name = path.last
        else { throw CoveyError(.invalid, "the archive's link \(displayed(entry.link)) leads out of it") }
        let first = place.target + components.dropFirst(place.root.count)
        guard let firstName = first.last else {
            throw CoveyError(.invalid, "the archive's link \(displayed(entry.link)) leads out of it")
        }
        let there = fcntl(try place.walk.folder(first.dropLast()), F_DUPFD_CLOEXEC, 3)
        guard there >= 0 else { throw problem("linking", place.walk.path(path)) }
        defer { close(there) }
        let parent = try place.walk.folder(path.dropLast())
        try inPlace(place.walk.path(path), parent, name) { name in
            withPath(firstName) { first in withPath(name) { linkat(there, first, parent, $0, 0) } }
        }
    }

    private func file(_ entry: TarEntry, _ path: [UInt8], _ parent: Int32, _ name: [UInt8]) throws {
        let file = try NewFile(in: parent, path)
        try write(entry, file.descriptor, path)
        try dress(entry, file.descriptor, path)
        try inPlace(path, parent, name) { file.link(to: $0) }
    }

    private func write(_ entry: TarEntry, _ file: Int32, _ path: [UInt8]) throws {
        if entry.pieces != nil, ftruncate(file, off_t(entry.size)) != 0 { throw problem("writing", path) }
        for piece in entry.pieces ?? [.init(offset: 0, length: entry.size)] {
            var place = piece.offset
            let end = piece.offset + piece.length
            var rest = UnsafeRawBufferPointer(start: nil, count: 0)
            while place < end {
                if rest.isEmpty { rest = try reader.data(limit: end - place) }
                guard !rest.isEmpty else { throw CoveyError(.invalid, "the archive is cut off") }
                let put = pwrite(file, rest.baseAddress, rest.count, off_t(place))
                if put < 0 && errno == EINTR { continue }
                guard put > 0 else { throw problem("writing", path) }
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(put))
                place += Int64(put)
            }
        }
    }

    /// Makes something at its place: at once where that is free, else beside it, and then in place of what is there.
    private func inPlace(_ path: [UInt8], _ parent: Int32, _ name: [UInt8], _ make: ([UInt8]) -> Int32) throws {
        if make(name) == 0 { return }
        guard errno == EEXIST else { throw problem("making", path) }
        var facts = stat()
        let found = withPath(name) { fstatat(parent, $0, &facts, AT_SYMLINK_NOFOLLOW) }
        if found == 0 && facts.st_mode & S_IFMT == S_IFDIR { throw problem("making", path, errno: EISDIR) }
        let beside = temporaryName()
        guard make(beside) == 0 else { throw problem("making", path) }
        let moved = withPath(beside) { beside in withPath(name) { renameat(parent, beside, parent, $0) } }
        let failure = errno
        // Two names of one file stay both (rename(2)); and what could not be moved goes.
        if withPath(beside, { unlinkat(parent, $0, 0) }) != 0 && errno != ENOENT && moved == 0 {
            throw problem("removing", path)
        }
        guard moved == 0 else { throw problem("making", path, errno: failure) }
    }

    // MARK: what an entry looks like

    private func times(_ entry: TarEntry) -> [timespec] {
        let time = timespec(tv_sec: Int(clamping: entry.seconds), tv_nsec: Int(clamping: entry.nanoseconds))
        return [time, time]
    }

    private func mode(_ entry: TarEntry) -> mode_t { entry.mode & (options.isExact ? 0o7777 : 0o777) }

    private func dress(_ entry: TarEntry, _ file: Int32, _ path: [UInt8]) throws {
        if options.isExact, fchown(file, entry.user, entry.group) != 0 { throw problem("giving away", path) }
        guard fchmod(file, mode(entry)) == 0 else { throw problem("changing the mode of", path) }
        for attribute in entry.attributes
        where attribute.name.starts(with: Array("user.".utf8)) || options.isExact {
            let set = withPath(attribute.name) {
                fsetxattr(file, $0, attribute.value, attribute.value.count, 0)
            }
            guard set == 0 else {
                guard errno == ENOTSUP || errno == EPERM else { throw problem("setting the attributes of", path) }
                if !hasSaidAttributes { onNote("\(displayed(path)) and maybe others: attributes were left out") }
                hasSaidAttributes = true
                break
            }
        }
        guard futimens(file, times(entry)) == 0 else { throw problem("setting the time of", path) }
    }

    /// The same for what is not opened.
    private func dress(_ entry: TarEntry, _ path: [UInt8], _ parent: Int32, _ name: [UInt8]) throws {
        let times = times(entry)
        try withPath(name) { name in
            if options.isExact, fchownat(parent, name, entry.user, entry.group, AT_SYMLINK_NOFOLLOW) != 0 {
                throw problem("giving away", path)
            }
            if entry.kind != .link, fchmodat(parent, name, mode(entry), 0) != 0 {
                throw problem("changing the mode of", path)
            }
            guard utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) == 0 else {
                throw problem("setting the time of", path)
            }
        }
    }

    /// Folders get mode and time last: what was put into them needed the one and changed the other.
    private func finish(_ place: Place) throws {
        for (path, entry) in folders.reversed() {
            let folder = try place.walk.folder(path[...])
            try dress(entry, folder, place.walk.path(path))
        }
    }
}

/// A name that nobody else has.
func temporaryName() -> [UInt8] { Array(".covey-cp-\(String(UInt64.random(in: .min ... .max), radix: 36))".utf8) }
