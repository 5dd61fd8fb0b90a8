internal import CoveyModel
internal import CoveySystem

/// Fetches the parts of a kernel out of packages, archives and folders that are not trusted: regular files and
/// folders only, below folders of ours, within bounds.
struct ModuleSource {
    /// Where `RELEASE/…` is made.
    let modules: String
    /// Where a boot image is put; nil leaves it out.
    let kernel: String?
    let subject: String
    let cancellation: Cancellation

    private static let fileLimit = 512 << 20
    private static let totalLimit: Int64 = 4 << 30
    private static let countLimit = 100_000
    /// The folders of a tree of modules.
    private static let tops: Set = ["kernel", "updates", "extra", "weak-updates"]

    /// Unpacks a Debian package: `boot/vmlinuz-*` to ``kernel``, `lib/modules` to ``modules``. Blocks.
    func unpackPackage(_ path: String) throws {
        let file = try openFile(path, .readOnly)
        let package = try Archive(descriptor: file.raw, .debian, subject: subject)
        while let member = try package.next() {
            guard member.path.hasPrefix("data.tar") else { continue }
            try unpack(try Archive(entryOf: package, .tar, subject: subject))
            try requireKernel("is a package without a kernel")
            return
        }
        throw CoveyError(.corrupt, "\(subject) is a damaged Debian package", remedy: "fetch it again")
    }

    /// Unpacks an archive: Debian packages in it, or `boot/vmlinuz-*` and `lib/modules` themselves. Blocks.
    func unpackCollection(_ path: String) throws {
        let file = try openFile(path, .readOnly)
        try unpack(try Archive(descriptor: file.raw, .tar, subject: subject))
        try requireKernel("holds no kernel: neither a linux-image package nor boot/vmlinuz")
    }

    private func requireKernel(_ what: String) throws {
        guard let kernel, !fileExists(kernel) else { return }
        throw CoveyError(
            .invalid, "\(subject) \(what)", remedy: "give the package that holds boot/vmlinuz, not a metapackage")
    }

    /// Unpacks a Debian package that lies in an archive.
    private func unpackInner(_ outer: Archive, _ name: String) throws {
        let package = try Archive(entryOf: outer, .debian, subject: name)
        while let member = try package.next() {
            guard member.path.hasPrefix("data.tar") else { continue }
            return try unpack(try Archive(entryOf: package, .tar, subject: name))
        }
        throw CoveyError(.corrupt, "\(name) is a damaged Debian package", remedy: "fetch it again")
    }

    /// Takes the module tree of a release from a folder (`…/RELEASE` itself, or one with `lib/modules`) or a tar. Blocks.
    func take(from path: String, release: String) throws {
        if try FileFacts(path, followLinks: true).kind == .folder {
            let candidates = ["lib/modules/\(release)", "usr/lib/modules/\(release)", release].map { "\(path)/\($0)" }
            var total: Int64 = 0
            try copyTree(
                candidates.first { fileExists($0) } ?? path, to: "\(modules)/\(release)", total: &total)
        } else {
            let file = try openFile(path, .readOnly)
            try unpack(try Archive(descriptor: file.raw, .tar, subject: subject), release: release)
        }
    }

    /// - Parameter release: Whose modules the archive may hold from its top; nil where it has none there.
    private func unpack(_ archive: Archive, release: String? = nil) throws {
        var total: Int64 = 0
        var count = 0
        while let entry = try archive.next() {
            try cancellation.check()
            count += 1
            guard count <= ModuleSource.countLimit else { throw tooLarge() }
            if entry.kind == .file, entry.path.hasSuffix(".deb"), kernel != nil {
                let name = entry.path.split(separator: "/").last.map { String($0) } ?? subject
                try unpackInner(archive, name)
                continue
            }
            guard let target = try target(of: entry, release: release) else { continue }
            if entry.kind == .folder {
                try makeFolder(target, mode: 0o755)
                continue
            }
            try makeFolder(parentFolder(target), mode: 0o755)
            let file = try openFile(target, [.writeOnly, .create, .truncate, .noFollow], mode: 0o644)
            try archive.content(limit: ModuleSource.fileLimit) { bytes in
                total += Int64(bytes.count)
                guard total <= ModuleSource.totalLimit else { throw tooLarge() }
                try writeAll(file.raw, bytes, target)
            }
        }
    }

    /// Where an entry goes; nil for what is not wanted.
    private func target(of entry: Archive.Entry, release: String?) throws -> String? {
        let parts = entry.path.split(separator: "/").filter { $0 != "." }
        guard !parts.contains("..") else {
            throw CoveyError(.corrupt, "\(subject) holds a path that leaves it")
        }
        guard entry.kind == .file || entry.kind == .folder else { return nil }
        if let name = parts.last, entry.kind == .file, parts.count <= 2, parts.count == 1 || parts[0] == "boot",
            ["vmlinuz", "vmlinux", "bzImage"].contains(String(name.prefix { $0 != "-" }))
        {
            // The packed one where both are there: it says its release.
            if let kernel, fileExists(kernel), name.hasPrefix("vmlinux") { return nil }
            return kernel
        }
        let rest = parts.first == "usr" ? parts.dropFirst() : parts[...]
        guard rest.count >= 3, rest.starts(with: ["lib", "modules"]) else {
            guard let release, let first = parts.first else { return nil }
            let inner = first == release ? parts.dropFirst() : parts[...]
            guard let top = inner.first, ModuleSource.tops.contains(String(top)) || top.hasPrefix("modules.") else {
                return nil
            }
            return "\(modules)/\(release)/" + inner.joined(separator: "/")
        }
        return "\(modules)/" + rest.dropFirst(2).joined(separator: "/")
    }

    private func copyTree(_ source: String, to target: String, total: inout Int64) throws {
        try makeFolder(target, mode: 0o755)
        for name in try listFolder(source) {
            try cancellation.check()
            let (from, to) = ("\(source)/\(name)", "\(target)/\(name)")
            let facts = try FileFacts(from)
            switch facts.kind {
            case .folder: try copyTree(from, to: to, total: &total)
            case .file:
                total += facts.size
                guard total <= ModuleSource.totalLimit else { throw tooLarge() }
                let input = try openFile(from, [.readOnly, .noFollow])
                let output = try openFile(to, [.writeOnly, .create, .exclusive], mode: 0o644)
                while let bytes = try readSome(input.raw, limit: 1 << 20), !bytes.isEmpty {
                    try writeAll(output.raw, bytes)
                }
            case .link, .other: continue
            }
        }
    }

    private func tooLarge() -> CoveyError {
        CoveyError(.invalid, "\(subject) holds more than a kernel's modules")
    }
}
