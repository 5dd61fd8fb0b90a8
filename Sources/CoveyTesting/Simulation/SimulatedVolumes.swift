package import CoveyImages
package import CoveyModel
internal import CoveySystem
internal import Glibc

/// Volumes of a simulated host: small files that hold their format's name.
package struct SimulatedVolumes: VolumeLibrary {
    private let host: SimulatedHost
    private let folder: String

    /// The volumes of a host, in a folder.
    package init(_ host: SimulatedHost, folder: String) {
        self.host = host
        self.folder = folder
    }

    package func place(_ id: VolumeID) -> String { "\(folder)/\(id)" }

    package func create(
        _ id: VolumeID, size: ByteCount, format: VolumeFormat, label: String
    ) async throws -> StoredVolume {
        try host.check("volume")
        try makeFolder(folder)
        if !fileExists(place(id)) {
            try writeFileAtomically(place(id), Array(format.rawValue.utf8))
            try check("truncate", place(id)) { truncate(place(id), off_t(size.bytes)) }
        }
        return try await volume(id)
    }

    package func copy(
        _ source: VolumeID, to id: VolumeID, progress: @escaping ProgressHandler
    ) async throws -> StoredVolume {
        try host.check("copy")
        let original = try await volume(source)
        try writeFileAtomically(place(id), Array(try readFile(original.path, limit: 1 << 30).prefix(64)))
        try check("truncate", place(id)) { truncate(place(id), off_t(original.size.bytes)) }
        return try await volume(id)
    }

    package func volume(_ id: VolumeID) async throws -> StoredVolume {
        guard fileExists(place(id)) else { throw CoveyError.notFound("volume", id.description) }
        let size = ByteCount(try FileFacts(place(id)).size)
        return StoredVolume(path: place(id), size: size, allocated: ByteCount(4096))
    }

    package func grow(_ id: VolumeID, to size: ByteCount) async throws -> StoredVolume {
        try host.check("grow")
        try check("truncate", place(id)) { truncate(place(id), off_t(size.bytes)) }
        return try await volume(id)
    }

    package func remove(_ id: VolumeID) async throws { try removeFile(place(id)) }

    package func sweep() async throws -> [String] { [] }

    package func list() async throws -> [VolumeID] {
        fileExists(folder) ? try listFolder(folder).compactMap { VolumeID($0) } : []
    }

    package func makeScratch(at path: String, size: ByteCount) async throws {
        try host.check("scratch")
        _ = try openFile(path, [.writeOnly, .create])
    }
}
