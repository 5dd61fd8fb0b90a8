import CArchive
import Testing

/// Kernels of a few hundred KiB that nobody could boot, for all that reads kernels.
struct FakeKernel {
    var release = "6.1.0-test"
    var machine: UInt16 = 62
    var hasPVH = true
    var setupVersion: UInt16 = 0x020F

    /// The ELF file: one load segment, one note segment, a banner, and content that packs well but not to nothing.
    func elf() -> [UInt8] {
        var body: [UInt8] =
            Array("Linux version %s (%s)\0".utf8) + Array("Linux version \(release) (nobody@nowhere) #1\0".utf8)
        var seed: UInt32 = 1
        while body.count < 300_000 {
            seed = seed &* 1_664_525 &+ 1_013_904_223
            body += [UInt8](repeating: UInt8(truncatingIfNeeded: seed >> 24), count: Int(seed >> 20 & 15) + 1)
        }
        var note: [UInt8] = []
        put(&note, UInt32(4))
        put(&note, UInt32(8))
        put(&note, UInt32(hasPVH ? 18 : 6))
        note += Array("Xen\0".utf8)
        put(&note, UInt64(0x100_0000))
        var file: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
        put(&file, UInt16(2))
        put(&file, machine)
        put(&file, UInt32(1))
        put(&file, UInt64(0x100_0000))
        put(&file, UInt64(64))
        put(&file, UInt64(0))
        put(&file, UInt32(0))
        for value: UInt16 in [64, 56, 2, 0, 0, 0] { put(&file, value) }
        let start = UInt64(64 + 112)
        segment(&file, 4, start, UInt64(note.count))
        segment(&file, 1, start + UInt64(note.count), UInt64(body.count))
        return file + note + body
    }

    /// A boot image around a packed ELF file. The length behind the payload is as the kernel's build writes it.
    func bootImage(_ packing: Packing) throws -> [UInt8] {
        let elf = elf()
        var payload = try packing.pack(elf)
        if packing.hasAppendedLength { put(&payload, UInt32(elf.count)) }
        var file = [UInt8](repeating: 0, count: 5 * 512)
        func set<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
            var bytes: [UInt8] = []
            put(&bytes, value)
            file.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
        }
        set(0x1F1, UInt8(4))
        set(0x1FE, UInt16(0xAA55))
        file.replaceSubrange(0x202..<0x206, with: Array("HdrS".utf8))
        set(0x206, setupVersion)
        set(0x20E, UInt16(0x200))
        let text = Array("\(release) (nobody@nowhere) #1 SMP\0".utf8)
        file.replaceSubrange(0x400..<(0x400 + text.count), with: text)
        set(0x248, UInt32(32))
        set(0x24C, UInt32(payload.count))
        return file + [UInt8](repeating: 0x90, count: 32) + payload + [UInt8](repeating: 0, count: 64)
    }

    private func segment(_ file: inout [UInt8], _ type: UInt32, _ offset: UInt64, _ size: UInt64) {
        put(&file, type)
        put(&file, UInt32(5))
        for value in [offset, offset, offset, size, size, 8] { put(&file, value) }
    }
}

/// How a fake kernel is packed.
enum Packing: String, CaseIterable, Sendable {
    case none, gzip, xz, zstd, lz4

    var hasAppendedLength: Bool { self == .xz || self == .zstd || self == .lz4 }

    func pack(_ bytes: [UInt8]) throws -> [UInt8] {
        switch self {
        case .none: bytes
        case .gzip: try packed(bytes) { archive_write_add_filter_gzip($0) }
        case .xz: try packed(bytes) { archive_write_add_filter_xz($0) }
        case .zstd: try packed(bytes) { archive_write_add_filter_zstd($0) }
        case .lz4: legacyFrame(bytes)
        }
    }

    private func packed(_ bytes: [UInt8], _ filter: (OpaquePointer) -> Int32) throws -> [UInt8] {
        let archive = try #require(archive_write_new())
        defer { archive_write_free(archive) }
        var output = [UInt8](repeating: 0, count: bytes.count + 65536)
        var used = 0
        let entry = try #require(archive_entry_new())
        defer { archive_entry_free(entry) }
        archive_entry_set_filetype(entry, 0o100000)
        archive_entry_set_pathname(entry, "data")
        return try output.withUnsafeMutableBytes { buffer in
            #expect(filter(archive) == 0)
            #expect(archive_write_set_format_raw(archive) == 0)
            #expect(archive_write_set_bytes_per_block(archive, 0) == 0)
            #expect(archive_write_open_memory(archive, buffer.baseAddress, buffer.count, &used) == 0)
            #expect(archive_write_header(archive, entry) == 0)
            try #require(bytes.withUnsafeBytes { archive_write_data(archive, $0.baseAddress, $0.count) } == bytes.count)
            try #require(archive_write_close(archive) == 0)
            return Array(buffer[..<used])
        }
    }

    /// Blocks of literals alone, as LZ4's frame format describes the legacy frame.
    private func legacyFrame(_ bytes: [UInt8]) -> [UInt8] {
        var frame: [UInt8] = [0x02, 0x21, 0x4C, 0x18]
        // Only the last block of a legacy frame may be shorter than 8 MiB.
        for start in stride(from: 0, to: bytes.count, by: 8 << 20) {
            let part = bytes[start..<min(start + (8 << 20), bytes.count)]
            var block: [UInt8] = [0xF0]
            var left = part.count - 15
            while left >= 255 {
                block.append(255)
                left -= 255
            }
            block.append(UInt8(left))
            put(&frame, UInt32(block.count + part.count))
            frame += block + part
        }
        return frame
    }
}

/// Appends a number, little-endian.
func put<T: FixedWidthInteger>(_ bytes: inout [UInt8], _ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
}
