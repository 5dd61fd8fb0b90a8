internal import CoveyImages
internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// A folder with an image and two disks, for one check.
struct RootDiskBench: Sendable {
    /// Data, a hole and data again.
    static let imageBytes = 4 << 20

    let store: any RootDiskStore
    let access: any DiskAccess
    let folder: String

    var path: String { "\(folder)/m1-\(tail)/root" }
    var otherPath: String { "\(folder)/m2-\(tail)/root" }
    var filler: String { "\(folder)/filler" }
    /// Names of devices are those of the folders: other checks run at the same time.
    private var tail: String { folder.split(separator: "/").suffix(2).joined(separator: "-") }

    /// An image of its own content, and the folders of the disks.
    func image(_ name: String = "image") throws -> StoredImage {
        for path in [path, otherPath] { try makeFolder(parentFolder(path)) }
        let file = try openFile("\(folder)/\(name)", [.readWrite, .create, .truncate])
        try writeAll(file.raw, [UInt8](repeating: 1, count: 1 << 20))
        try check("lseek", name) { lseek(file.raw, off_t(RootDiskBench.imageBytes - 65536), SEEK_SET) }
        try writeAll(file.raw, [UInt8](repeating: 2, count: 65536))
        try check("fsync", name) { fsync(file.raw) }
        return StoredImage(
            digest: "sha256:\(name)", path: "\(folder)/\(name)", size: ByteCount(Int64(RootDiskBench.imageBytes)),
            allocated: .mebibytes(2), configuration: ImageConfiguration())
    }

    /// The files of the disk.
    func files() throws -> [String] {
        try listFolder(parentFolder(path)).map { "\(parentFolder(path))/\($0)" }
    }

    /// Expects the image's content.
    func expectImage(_ disk: RootDisk) async throws {
        try await expect(disk, 1, at: 0, count: 1 << 20)
        try await expect(disk, 0, at: 1 << 20, count: 65536)
        try await expect(disk, 2, at: RootDiskBench.imageBytes - 65536, count: 65536)
    }

    /// Expects one value in all bytes of a range.
    func expect(
        _ disk: RootDisk, _ value: UInt8, at offset: Int, count: Int, line: Int = #line
    ) async throws {
        let bytes = try await access.read(disk, at: offset, count: count)
        let wrong = bytes.firstIndex { $0 != value }
        try CoveyDiskConformance.expect(
            bytes.count == count && wrong == nil,
            "\(count) bytes of \(value) at \(offset): \(bytes.count) were read, byte \(wrong ?? -1) differs", line: line
        )
    }

    /// Throws where the body does not fail with a code.
    func expectCode(
        _ code: ErrorCode, _ claim: String, needsRemedy: Bool = false, _ body: () async throws -> Void
    ) async throws {
        do { try await body() } catch let error as CoveyError {
            try expectEqual(error.code, code, "\(claim): \(error)")
            return try CoveyDiskConformance.expect(!needsRemedy || error.remedy != nil, "\(claim) has a remedy")
        }
        throw DiskCheckFailure(description: "\(claim): nothing was thrown")
    }

    /// Takes all space of the file system.
    func fill() throws {
        let file = try openFile(filler, [.writeOnly, .create])
        for size in [1 << 20, 65536, 4096, 512] {
            let bytes = [UInt8](repeating: 1, count: size)
            while true {
                do throws(SystemError) {
                    if try writeSome(file.raw, bytes[...]) < size { break }
                } catch {
                    guard error.isErrno(ENOSPC) else { throw error }
                    break
                }
            }
        }
        try check("fsync", filler) { fsync(file.raw) }
    }

    /// Removes all.
    func clear() async throws {
        for path in [path, otherPath] { try await store.remove(at: path) }
        for name in try listFolder(folder) { try removeTree("\(folder)/\(name)") }
    }
}
