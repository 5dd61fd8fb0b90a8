package import CoveyImages
package import CoveyModel
internal import CoveySystem
internal import Glibc

/// Root disks as raw files of their own: sharing the image's blocks, or copies of it.
package struct FileDisks: RootDiskStore {
    private let manner: FileCopy.Manner
    private let pool = BlockingPool("covey-disks")

    private var strategy: DiskStrategy {
        switch manner {
        case .shared: .reflink
        case .sparse: .copy
        }
    }

    /// A store whose disks are copied so; the callers say where each disk lies.
    package init(_ manner: FileCopy.Manner) { self.manner = manner }

    package func create(at path: String, over image: StoredImage, size: ByteCount?) async throws -> RootDisk {
        let wanted = try DiskSize(size, over: image)
        let file = FileDisks.file(path)
        let given = Flag()
        return try await withTaskCancellationHandler {
            try await pool.run { @Sendable () throws -> RootDisk in
                if let present = try FileDisks.present(file, over: image) {
                    if let growth = try DiskSize.growth(from: present, to: size, over: image) {
                        try check("truncate", file) { truncate(file, off_t(growth)) }
                    }
                } else {
                    try make(file, over: image, size: wanted.bytes, given)
                }
                return RootDisk(strategy: strategy, path: file, format: .raw)
            }
        } onCancel: {
            given.raise()
        }
    }

    package func release(at path: String) async throws {}

    package func remove(at path: String) async throws {
        let file = FileDisks.file(path)
        try await pool.run { @Sendable () throws in
            try removeFile(FileDisks.temporary(file))
            try removeFile(file)
            try OriginNote(of: file).remove()
        }
    }

    /// Where the disk of a name lies.
    static func file(_ path: String) -> String { "\(path).raw" }

    private static func temporary(_ file: String) -> String { "\(file).new" }

    /// The size of the disk over this image that is there. An empty file holds nothing.
    private static func present(_ file: String, over image: StoredImage) throws -> Int64? {
        guard fileExists(file) else { return nil }
        let facts = try FileFacts(file)
        if facts.kind == .file && facts.size == 0 { return nil }
        guard facts.kind == .file, facts.size >= image.size.bytes, try OriginNote(of: file).names(image) else {
            throw DiskSize.otherDisk
        }
        return facts.size
    }

    private func make(_ file: String, over image: StoredImage, size: Int64, _ given: Flag) throws {
        let temporary = FileDisks.temporary(file)
        do {
            try FileCopy.copy(image.path, to: temporary, manner) { given.isRaised }
            try check("truncate", temporary) { truncate(temporary, off_t(size)) }
            try OriginNote(of: file).write(image)
            try check("rename", file) { rename(temporary, file) }
            try syncFolder(parentFolder(file))
        } catch {
            try removeFile(temporary)
            if !fileExists(file) { try OriginNote(of: file).remove() }
            throw error
        }
    }
}
