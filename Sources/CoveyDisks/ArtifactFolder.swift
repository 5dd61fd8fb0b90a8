internal import CoveyModel
internal import CoveySystem
internal import FoundationEssentials
internal import Glibc

/// What a manifest of this folder has in common with others.
protocol ArtifactManifest: Codable, Sendable {
    /// The version of its form.
    var version: Int { get }
    /// The version that this program writes; older ones are read.
    static var currentVersion: Int { get }
    /// The files that the manifest names, with their lengths.
    var files: [String: Int64] { get }
}

/// A folder with one folder for each artifact (`ID`), half-made ones (`.new-ID`), ones on their way out
/// (`.gone-ID`), and ones set aside because their manifest cannot be read (`corrupt-ID`).
///
/// All methods block.
struct ArtifactFolder<Subject, Manifest: ArtifactManifest>: Sendable {
    /// The folder.
    let root: String
    /// What the artifacts are called: `image`, `kernel`.
    let kind: String

    private var manifestName: String { "manifest.json" }

    /// Where an artifact lies.
    func path(_ id: Identifier<Subject>) -> String { "\(root)/\(id)" }

    /// Where it is made.
    func stagingPath(_ id: Identifier<Subject>) -> String { "\(root)/.new-\(id)" }

    /// Makes an empty staging folder, in place of one that was left behind.
    func stage(_ id: Identifier<Subject>) throws -> String {
        let path = stagingPath(id)
        try makeFolder(root)
        try removeTree(path)
        try makeFolder(path)
        return path
    }

    /// Makes a staged artifact durable, then visible.
    func publish(_ id: Identifier<Subject>, _ manifest: Manifest) throws {
        let staging = stagingPath(id)
        for name in manifest.files.keys.sorted() { try sync("\(staging)/\(name)") }
        try write(manifest, in: staging)
        try syncFolder(staging)
        try check("rename", staging) { rename(staging, path(id)) }
        try syncFolder(root)
    }

    /// Writes a manifest into a folder.
    func write(_ manifest: Manifest, in folder: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        try writeFileAtomically("\(folder)/\(manifestName)", Array(try encoder.encode(manifest)))
    }

    /// Makes a file's content durable.
    func sync(_ path: String) throws {
        let file = try openFile(path, .readOnly)
        try check("fsync", path) { fsync(file.raw) }
    }

    /// The manifest of an artifact; nil where there is none.
    ///
    /// Errors: ``ErrorCode/corrupt`` where it cannot be read or a file of it is missing or of another length
    /// (the folder is then set aside), ``ErrorCode/unsupported`` where a newer Covey wrote it.
    func load(_ id: Identifier<Subject>) throws -> Manifest? {
        let folder = path(id)
        guard fileExists(folder) else { return nil }
        let manifest: Manifest
        do {
            let bytes = Data(try readFile("\(folder)/\(manifestName)", limit: 1 << 20))
            let decoder = JSONDecoder()
            if let version = try? decoder.decode(ManifestVersion.self, from: bytes).version,
                version > Manifest.currentVersion
            {
                throw CoveyError(
                    .unsupported, "\(kind) \(id) was made by a newer Covey", remedy: "run that version again",
                    resource: ResourceReference(kind, id.description))
            }
            manifest = try decoder.decode(Manifest.self, from: bytes)
        } catch let error as CoveyError {
            throw error
        } catch {
            throw try setAside(id, "its manifest cannot be read", cause: error)
        }
        for (name, length) in manifest.files.sorted(by: { $0.key < $1.key }) {
            let isThere: Bool
            do throws(SystemError) {
                let facts = try FileFacts("\(folder)/\(name)")
                isThere = !name.contains("/") && facts.kind == .file && facts.size == length
            } catch {
                guard error.isErrno(ENOENT) else { throw error }
                isThere = false
            }
            guard isThere else { throw try setAside(id, "its file \(name) is missing or cut off", cause: nil) }
        }
        return manifest
    }

    /// Removes an artifact, its half-made files too; idempotent.
    func remove(_ id: Identifier<Subject>) throws {
        let gone = "\(root)/.gone-\(id)"
        try removeTree(gone)
        if rename(path(id), gone) != 0 && errno != ENOENT { throw SystemError("rename", path(id)) }
        try removeTree(gone)
        try removeTree(stagingPath(id))
    }

    /// Removes half-made folders, and finished ones of no id in `keeping`; what is being worked on stays.
    /// Returns the names that it removed.
    func sweep(keeping: Set<Identifier<Subject>>, isBusy: (Identifier<Subject>) -> Bool) throws -> [String] {
        guard fileExists(root) else { return [] }
        var removed: [String] = []
        for name in try listFolder(root) {
            if let id = stagedID(name) {
                if isBusy(id) { continue }
                try removeTree("\(root)/\(name)")
            } else if let id = Identifier<Subject>(name), !keeping.contains(id), !isBusy(id) {
                do { if try load(id) == nil { continue } } catch let error as CoveyError {
                    // Set aside, or a newer Covey's: neither is ours to delete.
                    if error.code == .corrupt || error.code == .unsupported { continue }
                    throw error
                }
                try remove(id)
            } else if let id = Identifier<Subject>(name), keeping.contains(id), !isBusy(id) {
                removed += try removeUnnamed(id)
                continue
            } else {
                continue
            }
            removed.append(name)
        }
        return removed
    }

    /// Bytes that an artifact's files take on disk.
    func allocated(_ id: Identifier<Subject>, _ manifest: Manifest) throws -> ByteCount {
        var total: Int64 = 0
        for name in manifest.files.keys {
            total += try FileFacts("\(path(id))/\(name)").allocated
        }
        return ByteCount(total)
    }

    private func stagedID(_ name: String) -> Identifier<Subject>? {
        for prefix in [".new-", ".gone-"] where name.hasPrefix(prefix) {
            return Identifier<Subject>(String(name.dropFirst(prefix.count)))
        }
        return nil
    }

    private func removeUnnamed(_ id: Identifier<Subject>) throws -> [String] {
        let manifest: Manifest?
        do { manifest = try load(id) } catch is CoveyError { return [] }
        guard let manifest else { return [] }
        let wanted = Set(manifest.files.keys).union([manifestName])
        let left = try listFolder(path(id)).filter { !wanted.contains($0) }
        for name in left { try removeTree("\(path(id))/\(name)") }
        return left.map { "\(id)/\($0)" }
    }

    private func setAside(_ id: Identifier<Subject>, _ why: String, cause: (any Error)?) throws -> CoveyError {
        var target = "\(root)/corrupt-\(id)"
        var count = 1
        while fileExists(target) {
            count += 1
            target = "\(root)/corrupt-\(id)-\(count)"
        }
        try check("rename", target) { rename(path(id), target) }
        return CoveyError(
            .corrupt, "\(kind) \(id) is damaged: \(why)",
            remedy: "make it again; what was there lies in \(target)",
            resource: ResourceReference(kind, id.description), cause: cause)
    }
}

private struct ManifestVersion: Decodable {
    var version: Int
}
