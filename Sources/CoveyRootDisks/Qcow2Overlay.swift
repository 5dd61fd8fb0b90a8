internal import CoveyModel

/// The metadata of an empty qcow2 (version 3) file over a raw backing file.
///
/// Clusters of 64 KiB in this order: header, refcount table, refcount blocks, L1 table; the L1 table is all zeros, and
/// stays a hole. Source: QEMU's docs/interop/qcow2.txt.
struct Qcow2Overlay {
    private static let clusterBits: UInt32 = 16
    private static let cluster = 1 << 16
    private static let magic: UInt32 = 0x5146_49FB
    private static let formatExtension: UInt32 = 0xE279_2ACA
    private static let headerLength: UInt32 = 104

    /// The guest's disk size.
    let size: ByteCount
    /// The raw file below, as an absolute path of at most 1023 bytes.
    let backing: String
    /// The length of its L1 table.
    let tableEntries: Int

    /// What lies where in the file.
    struct Layout {
        /// Bytes that must be written, with their offsets.
        var parts: [(offset: Int, bytes: [UInt8])]
        /// The file's length.
        var length: Int
    }

    /// The bytes of the file.
    func layout() -> Layout {
        let entries = Qcow2Overlay.entries(size)
        let tableClusters = (entries * 8 + Qcow2Overlay.cluster - 1) / Qcow2Overlay.cluster
        // One refcount block counts 32768 clusters, far more than the tables of the largest disk.
        let used = 3 + tableClusters
        var header: [UInt8] = []
        func put<T: FixedWidthInteger>(_ value: T) {
            withUnsafeBytes(of: value.bigEndian) { header += $0 }
        }
        let format = Array("raw".utf8)
        let extensions = 8 + 8 + 8
        put(Qcow2Overlay.magic)
        put(UInt32(3))
        put(UInt64(Qcow2Overlay.headerLength) + UInt64(extensions))
        put(UInt32(backing.utf8.count))
        put(Qcow2Overlay.clusterBits)
        put(UInt64(size.bytes))
        put(UInt32(0))
        put(UInt32(entries))
        put(UInt64(3 * Qcow2Overlay.cluster))
        put(UInt64(Qcow2Overlay.cluster))
        put(UInt32(1))
        put(UInt32(0))
        put(UInt64(0))
        put(UInt64(0))
        put(UInt64(0))
        put(UInt64(0))
        put(UInt32(4))
        put(Qcow2Overlay.headerLength)
        put(Qcow2Overlay.formatExtension)
        put(UInt32(format.count))
        header += format + [UInt8](repeating: 0, count: 8 - format.count)
        put(UInt64(0))
        header += Array(backing.utf8)
        var table: [UInt8] = []
        withUnsafeBytes(of: UInt64(2 * Qcow2Overlay.cluster).bigEndian) { table += $0 }
        let counts = (0..<(used * 2)).map { UInt8($0 & 1) }
        return Layout(
            parts: [(0, header), (Qcow2Overlay.cluster, table), (2 * Qcow2Overlay.cluster, counts)],
            length: used * Qcow2Overlay.cluster)
    }

    /// Where size, encryption method and length of the L1 table stand, 16 bytes in all.
    static let sizeOffset = 24

    /// The 16 bytes at ``sizeOffset`` of the same file with a larger disk; nil where its L1 table has no room for it.
    ///
    /// The table stands last and is all zeros beyond its length, so that nothing else changes.
    func grownHeader(size: ByteCount) -> [UInt8]? {
        let entries = Qcow2Overlay.entries(size)
        let clusters = (max(tableEntries, 1) * 8 + Qcow2Overlay.cluster - 1) / Qcow2Overlay.cluster
        let room = clusters * Qcow2Overlay.cluster / 8
        guard size >= self.size, entries <= room else { return nil }
        var bytes: [UInt8] = []
        withUnsafeBytes(of: UInt64(size.bytes).bigEndian) { bytes += $0 }
        bytes += [0, 0, 0, 0]
        withUnsafeBytes(of: UInt32(entries).bigEndian) { bytes += $0 }
        return bytes
    }

    /// Reads size and backing file out of a file's first bytes; nil where it is no such overlay.
    init?(header bytes: UnsafeRawBufferPointer) {
        func number<T: FixedWidthInteger>(_ type: T.Type, _ offset: Int) -> T? {
            guard offset <= bytes.count - MemoryLayout<T>.size else { return nil }
            return T(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        guard number(UInt32.self, 0) == Qcow2Overlay.magic, number(UInt32.self, 4) == 3,
            let offset = number(UInt64.self, 8), let length = number(UInt32.self, 16), (1...1023).contains(length),
            offset <= UInt64(bytes.count), UInt64(length) <= UInt64(bytes.count) - offset,
            let size = number(UInt64.self, 24), let bits = number(UInt32.self, 20), bits == Qcow2Overlay.clusterBits,
            let encryption = number(UInt32.self, 32), encryption == 0, let table = number(UInt32.self, 36),
            let size = Int64(exactly: size)
        else { return nil }
        self.size = ByteCount(size)
        backing = String(decoding: bytes[Int(offset)..<(Int(offset) + Int(length))], as: UTF8.self)
        tableEntries = Int(table)
    }

    /// An overlay of a size over a raw file.
    init(size: ByteCount, backing: String) {
        self.size = size
        self.backing = backing
        tableEntries = Qcow2Overlay.entries(size)
    }

    /// The entries of the L1 table that a size needs.
    private static func entries(_ size: ByteCount) -> Int {
        let perTable = cluster / 8 * cluster
        return max(1, (Int(size.bytes) + perTable - 1) / perTable)
    }
}
