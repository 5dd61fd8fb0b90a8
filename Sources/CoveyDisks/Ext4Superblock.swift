internal import CoveyModel
internal import CoveySystem
internal import Glibc

/// What the superblock of an ext2, ext3 or ext4 file system says. No number in it is trusted.
///
/// Source: the kernel's Documentation/filesystems/ext4/super.rst.
struct Ext4Superblock: Equatable {
    /// Bytes from the file's start that hold it.
    static let needed = 2048

    /// The file system's size.
    let size: ByteCount
    /// Whether its journal holds changes that are not in the file system yet.
    let needsRecovery: Bool

    private static let offset = 1024
    private static let magic: UInt16 = 0xEF53
    private static let recoveryFeature: UInt32 = 0x4
    private static let journalDeviceFeature: UInt32 = 0x8
    private static let wideFeature: UInt32 = 0x80

    /// Whether bytes begin like such a file system.
    static func recognises(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.number(UInt16.self, at: offset + 0x38) == magic
    }

    /// Reads the superblock. Errors: ``ErrorCode/corrupt``; ``ErrorCode/unsupported`` for a journal device.
    init(_ bytes: UnsafeRawBufferPointer, subject: String) throws(CoveyError) {
        let damaged = CoveyError(
            .corrupt, "the file system in \(subject) is damaged: its superblock is wrong",
            remedy: "make it again, or repair it: e2fsck -f \(subject)")
        let start = Ext4Superblock.offset
        guard Ext4Superblock.recognises(bytes), let low = bytes.number(UInt32.self, at: start + 4),
            let log = bytes.number(UInt32.self, at: start + 0x18), log <= 6,
            let features = bytes.number(UInt32.self, at: start + 0x60),
            let high = bytes.number(UInt32.self, at: start + 0x150)
        else { throw damaged }
        guard features & Ext4Superblock.journalDeviceFeature == 0 else {
            throw CoveyError(.unsupported, "\(subject) is the journal of another file system")
        }
        let isWide = features & Ext4Superblock.wideFeature != 0
        let blocks = UInt64(low) | (isWide ? UInt64(high) << 32 : 0)
        let (size, overflow) = blocks.multipliedReportingOverflow(by: UInt64(1024) << UInt64(log))
        guard blocks > 0, !overflow, let bytes = Int64(exactly: size) else { throw damaged }
        self.size = ByteCount(bytes)
        needsRecovery = features & Ext4Superblock.recoveryFeature != 0
    }

    /// Whether a file holds an ext4 whose journal has to be played back; a damaged one is for its user to repair.
    static func needsRecovery(_ file: Int32, _ path: String) throws(SystemError) -> Bool {
        var head = [UInt8](repeating: 0, count: needed)
        let got = try check("pread", path) { pread(file, &head, head.count, 0) }
        guard got == head.count else { return false }
        return head.withUnsafeBytes { bytes in
            guard recognises(bytes) else { return false }
            do throws(CoveyError) { return try Ext4Superblock(bytes, subject: path).needsRecovery } catch {
                return false
            }
        }
    }
}
