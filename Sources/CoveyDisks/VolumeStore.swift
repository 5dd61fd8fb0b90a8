package import CoveyImages
package import CoveyModel
internal import CoveyRootDisks
internal import CoveySystem
internal import Glibc

/// Volumes as sparse files: `ID/volume.img`, `.new-ID` while it is made, `.gone-ID` while it is removed.
package struct VolumeStore: VolumeLibrary {
    private static let file = "volume.img"
    private static let staged = ".new-"
    private static let removed = ".gone-"

    private let root: String
    private let pool = BlockingPool("covey-volumes")

    /// A store in a folder.
    package init(root: String) { self.root = root }

    package func place(_ id: VolumeID) -> String { "\(root)/\(id)" }

    package func create(
        _ id: VolumeID, size: ByteCount, format: VolumeFormat, label: String
    ) async throws -> StoredVolume {
        try await publish(id) { path in
            try await pool.run { _ in try VolumeStore.makeSparse(path, size) }
            switch format {
            case .raw: break
            case .ext4:
                try await Ext4Builder(label: String(label.prefix(16)), uuid: id.description, readOnly: false)
                    .makeEmpty(path, size: size, pool: pool)
            }
        }
    }

    package func copy(
        _ source: VolumeID, to id: VolumeID, progress: @escaping ProgressHandler
    ) async throws -> StoredVolume {
        let original = try await volume(source)
        progress("copy", nil, nil, nil)
        return try await publish(id) { path in
            try await pool.run { cancellation in
                do {
                    try FileCopy.copy(original.path, to: path, .shared)
                } catch let error as CoveyError where error.code == .unsupported {
                    try FileCopy.copy(original.path, to: path, .sparse) { cancellation.isCancelled }
                }
            }
        }
    }

    package func volume(_ id: VolumeID) async throws -> StoredVolume {
        try await pool.run { _ in
            do {
                return try look(id)
            } catch let error as SystemError where error.isErrno(ENOENT) {
                throw CoveyError(
                    .notFound, "the file of volume \(id) is missing: \(place(id))/\(VolumeStore.file)",
                    remedy: "put it back, or detach the volume and remove it",
                    resource: ResourceReference("volume", id.description))
            }
        }
    }

    package func grow(_ id: VolumeID, to size: ByteCount) async throws -> StoredVolume {
        let present = try await volume(id)
        guard present.size < size else { return present }
        return try await pool.run { _ in
            try VolumeStore.setSize(present.path, size)
            return try look(id)
        }
    }

    package func remove(_ id: VolumeID) async throws {
        try await pool.run { _ in
            let gone = "\(root)/\(VolumeStore.removed)\(id)"
            try removeTree(gone)
            if rename(place(id), gone) != 0 && errno != ENOENT { throw SystemError("rename", place(id)) }
            try removeTree(gone)
            try removeTree("\(root)/\(VolumeStore.staged)\(id)")
        }
    }

    package func sweep() async throws -> [String] {
        try await pool.run { _ in
            try makeFolder(root)
            let left = try listFolder(root).filter {
                $0.hasPrefix(VolumeStore.staged) || $0.hasPrefix(VolumeStore.removed)
            }
            for name in left { try removeTree("\(root)/\(name)") }
            return left
        }
    }

    package func list() async throws -> [VolumeID] {
        try await pool.run { _ in fileExists(root) ? try listFolder(root).compactMap { VolumeID($0) } : [] }
    }

    package func makeScratch(at path: String, size: ByteCount) async throws {
        let temporary = "\(path).new"
        let grown = try await pool.run { _ in
            guard fileExists(path) else { return false }
            if try FileFacts(path).size < size.bytes { try VolumeStore.setSize(path, size) }
            return true
        }
        if grown { return }
        do {
            try await pool.run { _ in try VolumeStore.makeSparse(temporary, size) }
            let random = Identifier<ScratchDisk>(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
            try await Ext4Builder(label: "scratch", uuid: random.description, readOnly: false)
                .makeEmpty(temporary, size: size, pool: pool)
            _ = try await pool.run { _ in try check("rename", path) { rename(temporary, path) } }
        } catch {
            try await pool.run { _ in try removeFile(temporary) }
            throw CoveyError.wrapping(error, "the scratch disk cannot be made")
        }
    }

    /// Makes a volume's file in a folder beside, and puts it in its place when it is whole and durable.
    private func publish(
        _ id: VolumeID, _ make: (String) async throws -> Void
    ) async throws -> StoredVolume {
        let staging = "\(root)/\(VolumeStore.staged)\(id)"
        let isThere = try await pool.run { _ in
            try makeFolder(root)
            if fileExists("\(place(id))/\(VolumeStore.file)") { return true }
            try removeTree(staging)
            try makeFolder(staging)
            return false
        }
        if isThere { return try await volume(id) }
        do {
            try await make("\(staging)/\(VolumeStore.file)")
            return try await pool.run { _ in
                let file = try openFile("\(staging)/\(VolumeStore.file)", .readOnly)
                try check("fsync", staging) { fsync(file.raw) }
                try syncFolder(staging)
                try check("rename", staging) { rename(staging, place(id)) }
                try syncFolder(root)
                return try look(id)
            }
        } catch {
            // Not on the caller's thread of cancellation: what is half-made goes away in any case.
            try await BlockingPool("covey-volumes").run { @Sendable () throws in try removeTree(staging) }
            throw error
        }
    }

    private func look(_ id: VolumeID) throws -> StoredVolume {
        let path = "\(place(id))/\(VolumeStore.file)"
        let file = try openFile(path, [.readOnly, .noFollow])
        let facts = try FileFacts(descriptor: file.raw, path)
        return StoredVolume(
            path: path, size: ByteCount(facts.size), allocated: ByteCount(facts.allocated),
            needsRecovery: try Ext4Superblock.needsRecovery(file.raw, path))
    }

    private static func makeSparse(_ path: String, _ size: ByteCount) throws {
        let file = try openFile(path, [.writeOnly, .create, .truncate, .noFollow])
        try file.close()
        try setSize(path, size)
    }

    private static func setSize(_ path: String, _ size: ByteCount) throws {
        do throws(SystemError) {
            try check("truncate", path) { truncate(path, off_t(size.bytes)) }
        } catch {
            guard error.isErrno(EFBIG) || error.isErrno(EINVAL) else { throw error }
            throw CoveyError(
                .invalid, "the host's file system holds no file of \(size.rounded)", remedy: "ask for less")
        }
    }
}
