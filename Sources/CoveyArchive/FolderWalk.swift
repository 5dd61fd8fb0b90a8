internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Goes about below a folder by open folders, never by a path that somebody could redirect.
final class FolderWalk {
    private struct Step {
        var name: [UInt8]
        var descriptor: Int32
    }

    /// A link that this walk's archive made: nothing is written through one.
    struct MadeLink: Hashable {
        var device: UInt64
        var inode: UInt64
    }

    private let base: Int32
    private let path: [UInt8]
    private let followsLinks: Bool
    private var steps: [Step] = []
    /// Links that the archive itself brought.
    private(set) var madeLinks: Set<MadeLink> = []

    /// A walk below a folder. `followsLinks` says whether links that were there before are gone through.
    init(_ folder: String, followsLinks: Bool) throws {
        self.followsLinks = followsLinks
        path = Array(folder.utf8)
        let opened = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard opened >= 0 else {
            if errno == ENOTDIR || errno == ENOENT {
                throw CoveyError(.notFound, "there is no folder \(displayed(path))", remedy: "make it first")
            }
            throw problem("writing to", path)
        }
        base = opened
    }

    deinit {
        for step in steps { close(step.descriptor) }
        close(base)
    }

    /// The whole path of parts, for people and for looking up file systems.
    func path(_ parts: [[UInt8]]) -> [UInt8] {
        parts.reduce(path) { ($0.last == 47 ? $0 : $0 + [47]) + $1 }
    }

    /// The open folder of these parts, with what is missing made; valid until the next call.
    func folder(_ parts: ArraySlice<[UInt8]>) throws -> Int32 {
        var common = 0
        while common < steps.count, common < parts.count, steps[common].name == parts[parts.startIndex + common] {
            common += 1
        }
        while steps.count > common { close(steps.removeLast().descriptor) }
        for part in parts.dropFirst(common) {
            let parent = steps.last?.descriptor ?? base
            let opened = try enter(parent, part, Array(parts.prefix(steps.count + 1)))
            steps.append(Step(name: part, descriptor: opened))
        }
        return steps.last?.descriptor ?? base
    }

    private func enter(_ parent: Int32, _ name: [UInt8], _ parts: [[UInt8]]) throws -> Int32 {
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        for _ in 0..<2 {
            let opened = withPath(name) { openat(parent, $0, flags | O_NOFOLLOW) }
            if opened >= 0 { return opened }
            switch errno {
            case ENOENT:
                guard withPath(name, { mkdirat(parent, $0, 0o755) }) == 0 || errno == EEXIST else {
                    throw problem("making", path(parts))
                }
            case ENOTDIR, ELOOP:
                guard let link = link(parent, name) else {
                    throw CoveyError(.conflict, "\(displayed(path(parts))) is no folder")
                }
                guard followsLinks, !madeLinks.contains(link) else {
                    throw problem("writing to", path(parts), errno: ELOOP)
                }
                let opened = withPath(name) { openat(parent, $0, flags) }
                guard opened >= 0 else { throw problem("writing to", path(parts)) }
                return opened
            case _: throw problem("writing to", path(parts))
            }
        }
        throw problem("making", path(parts), errno: EBUSY)
    }

    /// The link at a place; nil where there is something else.
    private func link(_ parent: Int32, _ name: [UInt8]) -> MadeLink? {
        var facts = stat()
        guard withPath(name, { fstatat(parent, $0, &facts, AT_SYMLINK_NOFOLLOW) }) == 0,
            facts.st_mode & S_IFMT == S_IFLNK
        else { return nil }
        return MadeLink(device: UInt64(facts.st_dev), inode: UInt64(facts.st_ino))
    }

    /// The archive has brought a link.
    func note(linkIn parent: Int32, _ name: [UInt8]) {
        if let link = link(parent, name) { madeLinks.insert(link) }
    }
}
