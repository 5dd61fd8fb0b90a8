package import CoveyImages
internal import CoveySystem
internal import Glibc

/// Reads and writes a root disk as a machine would.
package protocol DiskAccess: Sendable {
    /// So many bytes from an offset.
    func read(_ disk: RootDisk, at offset: Int, count: Int) async throws -> [UInt8]

    /// Writes a value to so many bytes from an offset, durably.
    func write(_ disk: RootDisk, _ value: UInt8, at offset: Int, count: Int) async throws

    /// The disk's size in bytes.
    func size(_ disk: RootDisk) async throws -> Int
}

/// For raw files and block devices.
package struct RawDiskAccess: DiskAccess {
    /// Makes one.
    package init() {}

    package func read(_ disk: RootDisk, at offset: Int, count: Int) async throws -> [UInt8] {
        let file = try openFile(disk.path, .readOnly)
        var bytes = [UInt8](repeating: 0, count: count)
        let got = try check("pread", disk.path) { pread(file.raw, &bytes, count, off_t(offset)) }
        return Array(bytes.prefix(got))
    }

    package func write(_ disk: RootDisk, _ value: UInt8, at offset: Int, count: Int) async throws {
        let file = try openFile(disk.path, .readWrite)
        let bytes = [UInt8](repeating: value, count: count)
        let put = try check("pwrite", disk.path) { pwrite(file.raw, bytes, count, off_t(offset)) }
        try expectEqual(put, count, "bytes written to \(disk.path)")
        try check("fsync", disk.path) { fsync(file.raw) }
    }

    package func size(_ disk: RootDisk) async throws -> Int {
        let file = try openFile(disk.path, .readOnly)
        return Int(try check("lseek", disk.path) { lseek(file.raw, 0, SEEK_END) })
    }
}
