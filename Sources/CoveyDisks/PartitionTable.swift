internal import CoveyModel

/// The partitions of a disk, by GPT or MBR. No number in it is trusted.
///
/// Source: UEFI specification 2.10, chapter 5.
struct PartitionTable: Equatable {
    /// One partition, in bytes from the disk's start.
    struct Partition: Equatable {
        var offset: Int64
        var size: Int64
    }

    /// Bytes from the disk's start that hold a table as it is commonly written.
    static let needed = 34 * 512

    /// The partitions, in the table's order.
    let partitions: [Partition]

    private static let sector: Int64 = 512
    private static let protective: UInt8 = 0xEE

    /// Reads a table of a disk of a size; nil where there is none.
    init?(_ bytes: UnsafeRawBufferPointer, size: ByteCount) {
        guard bytes.number(UInt16.self, at: 510) == 0xAA55 else { return nil }
        var found: [Partition] = []
        func add(_ first: UInt64, _ count: UInt64) {
            let (offset, far) = first.multipliedReportingOverflow(by: UInt64(PartitionTable.sector))
            let (length, long) = count.multipliedReportingOverflow(by: UInt64(PartitionTable.sector))
            guard !far, !long, count > 0, let offset = Int64(exactly: offset), let length = Int64(exactly: length),
                offset < size.bytes, length <= size.bytes - offset
            else { return }
            found.append(Partition(offset: offset, size: length))
        }
        if bytes.holds(Array("EFI PART".utf8), at: 512) {
            guard let start = bytes.number(UInt64.self, at: 512 + 72),
                let count = bytes.number(UInt32.self, at: 512 + 80),
                let length = bytes.number(UInt32.self, at: 512 + 84), start == 2, length >= 128, length <= 4096
            else { return nil }
            for index in 0..<Int(min(count, 128)) {
                let at = 1024 + index * Int(length)
                guard let kind = bytes.number(UInt64.self, at: at), let first = bytes.number(UInt64.self, at: at + 32),
                    let last = bytes.number(UInt64.self, at: at + 40)
                else { break }
                if kind != 0, last >= first, first > 1 { add(first, last - first + 1) }
            }
        } else {
            for index in 0..<4 {
                let at = 446 + index * 16
                guard let kind = bytes.number(UInt8.self, at: at + 4),
                    let first = bytes.number(UInt32.self, at: at + 8),
                    let count = bytes.number(UInt32.self, at: at + 12)
                else { break }
                if kind != 0, kind != PartitionTable.protective, first > 0 { add(UInt64(first), UInt64(count)) }
            }
        }
        guard !found.isEmpty else { return nil }
        partitions = found
    }
}
