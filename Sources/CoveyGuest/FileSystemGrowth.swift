internal import CCovey
internal import CoveySystem
internal import Glibc

/// Lets a mounted ext4 take all of its disk. Source: Linux, `fs/ext4/super.h` and `EXT4_IOC_RESIZE_FS`.
enum FileSystemGrowth {
    /// Where the superblock lies on the disk, and how long it is.
    private static let offset = 1024
    private static let length = 1024

    /// Grows the file system on a disk to the disk's size where it is smaller.
    static func run(disk: String, mountedAt path: String) throws(SystemError) {
        let device = try openFile(disk, .readOnly)
        var bytes: UInt64 = 0
        try check("ioctl BLKGETSIZE64", disk) { covey_block_size(device.raw, &bytes) }
        var superblock = [UInt8](repeating: 0, count: length)
        let got = try check("pread", disk) { pread(device.raw, &superblock, length, off_t(offset)) }
        guard got == length, let size = Ext4Size(superblock) else { return }
        let blocks = bytes / size.block
        guard blocks > size.blocks else { return }
        let mounted = try openFile(path, [.readOnly, .directory])
        try check("ioctl EXT4_IOC_RESIZE_FS", "\(disk) from \(size.blocks) to \(blocks) blocks") {
            covey_grow_ext4(mounted.raw, blocks)
        }
    }
}

/// What an ext4 superblock says of the file system's size.
struct Ext4Size: Equatable {
    /// Bytes of a block.
    let block: UInt64
    /// Blocks.
    let blocks: UInt64

    private static let magic: UInt64 = 0xEF53
    private static let wide: UInt64 = 0x80

    /// Reads 1024 bytes; nil where they are no superblock.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == 1024 else { return nil }
        func number(_ offset: Int, _ count: Int) -> UInt64 {
            bytes[offset..<(offset + count)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        let shift = number(0x18, 4)
        guard number(0x38, 2) == Ext4Size.magic, shift <= 6 else { return nil }
        block = 1024 << shift
        let isWide = number(0x60, 4) & Ext4Size.wide != 0
        blocks = number(0x04, 4) | (isWide ? number(0x150, 4) << 32 : 0)
    }
}
