package import CoveyImages
package import CoveyModel
internal import CoveySystem

/// Root disks by the strategy that works best on this node. A disk that is there stays what it is.
package struct RootDisks: RootDiskStore {
    private let overlay = OverlayDisks()
    private let shared = FileDisks(.shared)
    private let copied = FileDisks(.sparse)
    private let mapped: MappedDisks
    /// How new disks are made.
    package let strategy: DiskStrategy

    /// A store of an instance that makes new disks by one strategy.
    package init(_ strategy: DiskStrategy, instance: InstanceID) {
        self.strategy = strategy
        mapped = MappedDisks(instance)
    }

    /// The store of one strategy.
    package func store(_ strategy: DiskStrategy) -> any RootDiskStore {
        switch strategy {
        case .reflink: shared
        case .qcow2: overlay
        case .deviceMapper: mapped
        case .copy: copied
        }
    }

    package func create(at path: String, over image: StoredImage, size: ByteCount?) async throws -> RootDisk {
        let strategy = present(path) ?? strategy
        do {
            return try await store(strategy).create(at: path, over: image, size: size)
        } catch {
            throw CoveyError.wrapping(error, "root disk \(path) (\(strategy.rawValue)) cannot be made")
        }
    }

    package func release(at path: String) async throws {
        do {
            try await mapped.release(at: path)
        } catch {
            throw CoveyError.wrapping(error, "root disk \(path) cannot be let go of")
        }
    }

    package func remove(at path: String) async throws {
        do {
            for strategy in DiskStrategy.allCases { try await store(strategy).remove(at: path) }
        } catch {
            throw CoveyError.wrapping(error, "root disk \(path) cannot be removed")
        }
    }

    /// How the disk that is there was made; shared and copied files are the same from then on.
    private func present(_ path: String) -> DiskStrategy? {
        if fileExists(OverlayDisks.file(path)) { return .qcow2 }
        if fileExists(FileDisks.file(path)) { return strategy == .reflink ? .reflink : .copy }
        if fileExists(MappedFiles(path).changes) { return .deviceMapper }
        return nil
    }
}
