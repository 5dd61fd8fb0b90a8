internal import CCovey
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// Applies layers to a tree, the lowest first. Belongs to one thread; all blocks.
///
/// Source: OCI image specification, layer.md ("Applying Changesets").
final class Unpacker {
    private let tree: LayerTree
    private let limits: UnpackLimits
    private var entries = 0
    private var bytes: Int64 = 0

    /// How often progress is told.
    private static let stride = 256

    /// Unpacks into a folder that is there and empty.
    init(into folder: String, limits: UnpackLimits) throws {
        tree = try LayerTree(folder, limits: limits)
        self.limits = limits
    }

    /// Applies a layer's file. `progress` gets the bytes of it that are done.
    ///
    /// Errors: ``ErrorCode/corrupt`` for what cannot be read or wants out of the tree, ``ErrorCode/exhausted`` for a
    /// limit or a full disk, ``ErrorCode/unsupported`` where the file system cannot keep what the layer has.
    func apply(
        _ path: String, name: String, _ cancellation: Cancellation, progress: (Int64) -> Void = { _ in }
    ) throws {
        let file = try openFile(path, [.readOnly, .noFollow])
        _ = posix_fadvise(file.raw, 0, 0, POSIX_FADV_SEQUENTIAL)
        do {
            let archive = try LayerArchive(descriptor: file.raw, name: name)
            tree.beginLayer()
            var count = 0
            while let entry = try archive.next(attributeLimit: limits.attributes) {
                try cancellation.check()
                count += 1
                entries += 1
                guard entries <= limits.entries else { throw limit("more than \(limits.entries) files", name) }
                try apply(entry, archive, name, cancellation) { progress(archive.consumed) }
                if count % Unpacker.stride == 0 { progress(archive.consumed) }
            }
            try tree.endLayer()
            progress(archive.consumed)
        } catch let error as SystemError {
            throw FullDisk.explain(error, doing: "unpacking \(name)")
        }
    }

    private func apply(
        _ entry: LayerArchive.Entry, _ archive: LayerArchive, _ layer: String, _ cancellation: Cancellation,
        _ tick: () -> Void
    ) throws {
        let path = try EntryPath(entry.path, depth: limits.depth)
        guard let last = path.name else {
            guard entry.kind == .folder else { throw corrupt(layer, "puts something else in place of /") }
            return try describe(try tree.rootFolder(), entry, path)
        }
        if Whiteout.isPlumbing(last) { return }
        if let whiteout = try Whiteout.read(last) {
            guard let folder = try tree.parentOfHidden(path) else { return }
            return try tree.hide(whiteout, in: folder)
        }
        let folder = try tree.parent(of: path)
        let name = last.cString
        let raw = folder.descriptor.raw
        switch entry.kind {
        case .hardLink(let target):
            try tree.link(try EntryPath(target, depth: limits.depth), in: folder, name, path: path)
            tree.touch(folder, name)
            return
        case .folder:
            if try !tree.makeWay(in: folder, name, forFolder: true) {
                try check("mkdirat", path.text) { mkdirat(raw, name, 0o700) }
            }
            tree.touch(folder, name)
            let inner = try folder.folder(name)
            return try describe(inner, entry, path)
        case .file:
            _ = try tree.makeWay(in: folder, name, forFolder: false)
            tree.touch(folder, name)
            return try write(entry, archive, folder, name, path, layer, cancellation, tick)
        case .symbolicLink(let target):
            guard target.count < 4096, !target.contains(0) else { throw corrupt(layer, "has a link of too many bytes") }
            _ = try tree.makeWay(in: folder, name, forFolder: false)
            try check("symlinkat", path.text) { symlinkat(target.cString, raw, name) }
        case .device(let isBlock, let major, let minor):
            _ = try tree.makeWay(in: folder, name, forFolder: false)
            let kind = isBlock ? S_IFBLK : S_IFCHR
            guard covey_make_device(raw, name, kind | 0o600, major, minor) == 0 else {
                let error = SystemError("mknodat", path.text)
                guard error.isErrno(EPERM) else { throw error }
                throw CoveyError(
                    .denied, "\(layer) has the device \(path.text), and this daemon may make none",
                    remedy: "run the daemon as root with CAP_MKNOD")
            }
        case .pipe:
            _ = try tree.makeWay(in: folder, name, forFolder: false)
            try check("mkfifoat", path.text) { mkfifoat(raw, name, 0o600) }
        }
        tree.touch(folder, name)
        try check("fchownat", path.text) { fchownat(raw, name, entry.user, entry.group, AT_SYMLINK_NOFOLLOW) }
        if case .symbolicLink = entry.kind {
        } else {
            try check("fchmodat", path.text) { fchmodat(raw, name, mode_t(entry.mode), 0) }
        }
        try setAttributes(entry, folder, name, path)
        let times = [entry.time, entry.time]
        try check("utimensat", path.text) { utimensat(raw, name, times, AT_SYMLINK_NOFOLLOW) }
    }

    private func write(
        _ entry: LayerArchive.Entry, _ archive: LayerArchive, _ folder: OpenFolder, _ name: [CChar], _ path: EntryPath,
        _ layer: String, _ cancellation: Cancellation, _ tick: () -> Void
    ) throws {
        guard entry.size <= limits.file.bytes else {
            throw limit("the file \(path.text) of \(ByteCount(entry.size).rounded)", layer)
        }
        bytes += max(0, entry.size)
        guard bytes <= limits.content.bytes else { throw limit("more than \(limits.content.rounded) of files", layer) }
        let raw = folder.descriptor.raw
        let file = FileDescriptor(
            owning: try check("openat", path.text) {
                openat(raw, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
            })
        var end: Int64 = 0
        if entry.size > 0 {
            try archive.content { offset, piece in
                try cancellation.check()
                guard offset >= 0, offset + Int64(piece.count) <= entry.size else {
                    throw corrupt(layer, "has more bytes of \(path.text) than it says")
                }
                var written = 0
                while written < piece.count {
                    let rest = UnsafeRawBufferPointer(rebasing: piece[written...])
                    written += try check("pwrite", path.text) {
                        pwrite(file.raw, rest.baseAddress, rest.count, off_t(offset) + written)
                    }
                }
                end = max(end, offset + Int64(piece.count))
                tick()
            }
        }
        if end < entry.size { try check("ftruncate", path.text) { ftruncate(file.raw, off_t(entry.size)) } }
        try check("fchown", path.text) { fchown(file.raw, entry.user, entry.group) }
        try check("fchmod", path.text) { fchmod(file.raw, mode_t(entry.mode)) }
        try setAttributes(entry, folder, name, path)
        let times = [entry.time, entry.time]
        try check("futimens", path.text) { futimens(file.raw, times) }
    }

    /// Gives a folder what its entry says. Its times come last of all, when nothing more is put into it.
    private func describe(_ folder: OpenFolder, _ entry: LayerArchive.Entry, _ path: EntryPath) throws {
        let raw = folder.descriptor.raw
        try check("fchown", path.text) { fchown(raw, entry.user, entry.group) }
        try check("fchmod", path.text) { fchmod(raw, mode_t(entry.mode)) }
        try setAttributes(entry, folder, [46, 0], path)
        folder.setTimes(entry.time)
        try folder.restoreTimes()
    }

    private func setAttributes(
        _ entry: LayerArchive.Entry, _ folder: OpenFolder, _ name: [CChar], _ path: EntryPath
    ) throws {
        for (attribute, value) in entry.attributes where !Unpacker.isOfHost(attribute) {
            guard covey_set_attribute(folder.descriptor.raw, name, attribute, value, value.count) == 0 else {
                let error = SystemError("setxattr", "\(path.text) \(shown(attribute))")
                guard error.isErrno(ENOTSUP) || error.isErrno(EPERM) else { throw error }
                throw CoveyError(
                    .unsupported, "\(path.text) has the attribute \(shown(attribute)), which cannot be kept here",
                    remedy: "give the daemon a --root on ext4 or XFS, and run it as root", cause: error)
            }
        }
    }

    /// Attributes that speak to this host's kernel and mean nothing in the machine.
    private static func isOfHost(_ name: [CChar]) -> Bool {
        let text = shown(name)
        return text == "security.ima" || text == "security.evm" || text.utf8.starts(with: "trusted.overlay.".utf8)
    }

    private func limit(_ what: String, _ layer: String) -> CoveyError {
        CoveyError(
            .exhausted, "\(layer) has \(what), which is beyond the limit",
            remedy: "do not use this image; where it has to be so large, unpack it yourself and use image register",
            retryable: false)
    }

    private func corrupt(_ layer: String, _ why: String) -> CoveyError {
        CoveyError(.corrupt, "\(layer) \(why)", remedy: "do not use this image, or ask the one who published it")
    }
}

extension LayerArchive.Entry {
    /// When it was changed last; a year that no file system knows becomes one that it does.
    var time: timespec {
        let seconds = min(max(modified.seconds, -0x8000_0000), 0x3_7FFF_FFFF)
        return timespec(
            tv_sec: seconds, tv_nsec: (0..<1_000_000_000).contains(modified.nanoseconds) ? modified.nanoseconds : 0)
    }
}
