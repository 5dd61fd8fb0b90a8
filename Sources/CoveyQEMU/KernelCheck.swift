internal import CoveyModel

/// Looks at a kernel before a VMM does, since the VMM can only say that something is wrong with it.
enum KernelCheck {
    /// Bytes of the file's start that ``problem(_:size:)`` wants.
    static let headBytes = 64 << 10

    /// What is wrong with an ELF kernel for x86-64, from the start of its file and its size; nil for nothing.
    /// Source: System V ABI, chapter 4 (ELF header) and 5 (program header).
    static func problem(_ head: [UInt8], size: Int64) -> String? {
        guard head.starts(with: [0x7F, 0x45, 0x4C, 0x46]) else { return "it is no ELF file" }
        guard head.count >= 64, head[4] == 2, head[5] == 1 else { return "it is no 64-bit little-endian ELF file" }
        func number(_ offset: Int, _ bytes: Int) -> UInt64 {
            (0..<bytes).reduce(0) { $0 | UInt64(head[offset + $1]) << (8 * UInt64($1)) }
        }
        guard number(18, 2) == 62 else { return "it is not for x86-64" }
        let (table, entry, count) = (number(32, 8), number(54, 2), number(56, 2))
        guard entry == 56, count > 0, table <= UInt64(head.count), table + entry * count <= UInt64(head.count) else {
            return "its program headers are damaged"
        }
        for index in 0..<Int(count) {
            let start = Int(table) + index * 56
            let (end, overflow) = number(start + 8, 8).addingReportingOverflow(number(start + 32, 8))
            if overflow || end > UInt64(max(size, 0)) { return "it is cut off" }
        }
        return nil
    }
}
