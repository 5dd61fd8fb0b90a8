package import CoveyModel

/// A volume that lies on this node.
package struct StoredVolume: Hashable, Codable, Sendable {
    /// The raw file.
    package var path: String
    /// Its size.
    package var size: ByteCount
    /// Bytes that it takes on disk.
    package var allocated: ByteCount
    /// Whether it holds an ext4 that a machine left without unmounting it: its journal has to be played back by
    /// somebody who may write.
    package var needsRecovery: Bool

    /// Makes a stored volume.
    package init(path: String, size: ByteCount, allocated: ByteCount, needsRecovery: Bool = false) {
        self.path = path
        self.size = size
        self.allocated = allocated
        self.needsRecovery = needsRecovery
    }
}

/// Makes volumes and keeps them. Publication is atomic: what is there by its id is whole.
package protocol VolumeLibrary: Sendable {
    /// Makes a volume, or returns the one that is there under this id.
    ///
    /// - Parameter label: What `blkid` shows of its file system, cut to 16 bytes.
    /// - Throws: ``ErrorCode/exhausted`` on a full disk; ``ErrorCode/invalid`` where the host's file system holds no
    ///   file of that size.
    func create(_ id: VolumeID, size: ByteCount, format: VolumeFormat, label: String) async throws -> StoredVolume

    /// Makes a volume with another one's content, sharing its blocks where the file system can; or returns the one that
    /// is there. Nobody may write to the other one meanwhile. Errors: ``ErrorCode/notFound``, ``ErrorCode/exhausted``.
    func copy(_ source: VolumeID, to id: VolumeID, progress: @escaping ProgressHandler) async throws -> StoredVolume

    /// The volume under an id. Errors: ``ErrorCode/notFound``.
    func volume(_ id: VolumeID) async throws -> StoredVolume

    /// Makes a volume larger; one that is as large already stays. Errors: ``ErrorCode/invalid`` as ``create(_:size:format:label:)``.
    func grow(_ id: VolumeID, to size: ByteCount) async throws -> StoredVolume

    /// Removes a volume; idempotent.
    func remove(_ id: VolumeID) async throws

    /// Removes half-made volumes and those on their way out. A whole one is never removed here. Returns what it removed.
    func sweep() async throws -> [String]

    /// The volumes that are there.
    func list() async throws -> [VolumeID]

    /// Where a volume's folder lies, for people.
    func place(_ id: VolumeID) -> String

    /// Makes a machine's scratch disk as a file with an empty ext4; or grows the one that is there.
    func makeScratch(at path: String, size: ByteCount) async throws
}
