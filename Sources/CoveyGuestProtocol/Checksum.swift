/// CRC-32C (Castagnoli), eight bytes a step.
///
/// Source: RFC 3720, appendix B.4; Kounavis and Berry, "A Systematic Approach to Building High Performance
/// Software-Based CRC Generators", 2005.
package enum CRC32C {
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for index in 0..<256 {
            var value = UInt32(index)
            for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
            tables[index] = value
        }
        for slice in 1..<8 {
            for index in 0..<256 {
                let before = tables[(slice - 1) * 256 + index]
                tables[slice * 256 + index] = before >> 8 ^ tables[Int(before & 0xFF)]
            }
        }
        return tables
    }()

    /// The checksum of bytes.
    package static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.withUnsafeBytes { checksum($0) } }

    /// The checksum of bytes.
    package static func checksum(_ input: UnsafeRawBufferPointer) -> UInt32 {
        tables.withUnsafeBufferPointer { table in
            var crc = UInt32.max
            var position = 0
            while position &+ 8 <= input.count {
                let low = UInt32(littleEndian: input.loadUnaligned(fromByteOffset: position, as: UInt32.self)) ^ crc
                let high = UInt32(littleEndian: input.loadUnaligned(fromByteOffset: position &+ 4, as: UInt32.self))
                crc = table[1792 &+ Int(low & 0xFF)] ^ table[1536 &+ Int(low >> 8 & 0xFF)]
                crc ^= table[1280 &+ Int(low >> 16 & 0xFF)] ^ table[1024 &+ Int(low >> 24)]
                crc ^= table[768 &+ Int(high & 0xFF)] ^ table[512 &+ Int(high >> 8 & 0xFF)]
                crc ^= table[256 &+ Int(high >> 16 & 0xFF)] ^ table[Int(high >> 24)]
                position &+= 8
            }
            while position < input.count {
                crc = crc >> 8 ^ table[Int((crc ^ UInt32(input[position])) & 0xFF)]
                position &+= 1
            }
            return ~crc
        }
    }

    /// The checksum of bytes.
    package static func checksum(_ bytes: [UInt8]) -> UInt32 { checksum(bytes[...]) }
}
